"""What the schema ``strangler`` is and who may do what with it, beside what the tool has made of it."""

from __future__ import annotations

from collections.abc import Iterator

from strangler.adapters.postgres.connection import Connection

# Whoever owns tables may have them swept; an agent says what its gateway has live; all may read whose a table is.
BESIDES = """
WITH place AS (SELECT oid FROM pg_namespace WHERE nspname = 'strangler'),
safe AS (SELECT oid FROM pg_roles WHERE rolsuper OR rolname = current_user),
sweeping AS (
    SELECT DISTINCT relowner AS oid FROM pg_class
    WHERE relkind IN ('r', 'p') AND relnamespace NOT IN (SELECT oid FROM place)
),
relation AS (SELECT c.* FROM pg_class c JOIN place ON c.relnamespace = place.oid WHERE c.relkind IN ('r', 'S')),
given AS (
    SELECT concat(a.privilege_type, ' ON ', CASE c.relkind WHEN 'S' THEN 'SEQUENCE ' END, c.oid::regclass) AS what,
           c.relname AS name, a.*, c.relowner AS owner
    FROM relation c, aclexplode(c.relacl) a
    UNION ALL
    SELECT format('%s (%I) ON %s', a.privilege_type, t.attname, c.oid::regclass), c.relname, a.*, c.relowner
    FROM relation c JOIN pg_attribute t ON t.attrelid = c.oid, aclexplode(t.attacl) a
    UNION ALL
    SELECT 'EXECUTE ON FUNCTION ' || p.oid::regprocedure, p.proname, a.*, p.proowner
    FROM pg_proc p JOIN place ON p.pronamespace = place.oid,
         aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
)
SELECT format('%s has the right %s', who, what), format('REVOKE %s FROM %s', what, who)
FROM given, LATERAL (SELECT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END AS who) w
WHERE grantee <> owner AND grantee NOT IN (SELECT oid FROM safe)
  AND NOT (grantee <> 0 AND privilege_type = 'SELECT')
  AND NOT (grantee = 0 AND privilege_type = 'SELECT' AND name IN ('side', 'marker', 'swept'))
  AND NOT (grantee = 0 AND privilege_type = 'EXECUTE' AND name = 'note_use')
  AND NOT (name IN ('orphan', 'swept', 'queue_orphan') AND grantee IN (SELECT oid FROM sweeping))
  AND NOT (name = 'gateway' AND grantee = (SELECT oid FROM pg_roles WHERE rolname = 'strangler_agent'))
UNION ALL
SELECT format('%s does not tell who waits for it that it has changed', c.oid::regclass),
       format('ALTER TABLE %s ENABLE TRIGGER strangler_tell, or `strangler verify` where it is gone', c.oid::regclass)
FROM relation c WHERE c.relname IN ('side', 'move') AND NOT EXISTS (
    SELECT FROM pg_trigger g JOIN pg_proc p ON p.oid = g.tgfoid JOIN place ON p.pronamespace = place.oid
    WHERE g.tgrelid = c.oid AND g.tgname = 'strangler_tell' AND g.tgenabled IN ('O', 'A') AND g.tgqual IS NULL)
UNION ALL
SELECT format('%s has the trigger %I besides', c.oid::regclass, g.tgname),
       format('DROP TRIGGER %I ON %s', g.tgname, c.oid::regclass)
FROM relation c JOIN pg_trigger g ON g.tgrelid = c.oid AND NOT g.tgisinternal
WHERE c.relname <> 'drill' AND g.tgname <> 'strangler_tell'
UNION ALL
SELECT format('%s has the rule %I', c.oid::regclass, r.rulename),
       format('DROP RULE %I ON %s', r.rulename, c.oid::regclass)
FROM relation c JOIN pg_rewrite r ON r.ev_class = c.oid
UNION ALL
SELECT format('row-level security is on for %s', c.oid::regclass),
       format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY', c.oid::regclass)
FROM relation c WHERE c.relrowsecurity
UNION ALL
SELECT format('%s is unlogged: a crash empties it', c.oid::regclass),
       format('ALTER TABLE %s SET LOGGED', c.oid::regclass)
FROM relation c WHERE c.relpersistence = 'u' AND c.relkind = 'r'
"""


def besides(connection: Connection) -> Iterator[tuple[str, str]]:
    """What somebody has given, taken or made there by hand, and the statement that takes it back."""
    yield from connection.execute(BESIDES).fetchall()
