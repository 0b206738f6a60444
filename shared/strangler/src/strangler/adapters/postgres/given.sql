-- Rights in the schema strangler that a role has and should not have, one row per role: the sentence, and the statement
-- that takes them back. An owner of tables may have them swept; an agent says what its gateway has live; all roles may
-- read who owns a table.
WITH place AS (SELECT oid FROM pg_namespace WHERE nspname = 'strangler'),
safe AS (SELECT oid FROM pg_roles WHERE rolsuper OR rolname = current_user),
sweeping AS (
    SELECT DISTINCT relowner AS oid FROM pg_class
    WHERE relkind IN ('r', 'p') AND relnamespace NOT IN (SELECT oid FROM place)
),
relation AS (
    SELECT c.* FROM pg_class c JOIN place ON c.relnamespace = place.oid WHERE c.relkind IN ('r', 'S')
),
given AS (
    SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE ' ELSE '' END AS kind, c.oid::regclass::text AS object,
           a.privilege_type AS what, c.relname AS name, a.*, c.relowner AS owner
    FROM relation c, aclexplode(c.relacl) a
    UNION ALL
    SELECT '', c.oid::regclass::text, format('%s (%I)', a.privilege_type, t.attname), c.relname, a.*,
           c.relowner
    FROM relation c JOIN pg_attribute t ON t.attrelid = c.oid, aclexplode(t.attacl) a
    UNION ALL
    SELECT 'FUNCTION ', p.oid::regprocedure::text, 'EXECUTE', p.proname, a.*, p.proowner
    FROM pg_proc p JOIN place ON p.pronamespace = place.oid,
         aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
),
besides AS (
    SELECT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END AS who,
           kind, object, string_agg(DISTINCT what, ', ' ORDER BY what) AS what,
           bool_or(is_grantable) AS grantable
    FROM given
    WHERE grantee <> owner AND grantee NOT IN (SELECT oid FROM safe)
      AND NOT (grantee <> 0 AND privilege_type = 'SELECT')
      AND NOT (grantee = 0 AND privilege_type = 'SELECT' AND name IN ('side', 'marker', 'swept'))
      AND NOT (grantee = 0 AND privilege_type = 'EXECUTE' AND name = 'note_use')
      AND NOT (name IN ('orphan', 'swept', 'queue_orphan') AND grantee IN (SELECT oid FROM sweeping))
      AND NOT (name = 'gateway' AND grantee = (SELECT oid FROM pg_roles WHERE rolname = 'strangler_agent'))
    GROUP BY grantee, kind, object
),
-- A right that is the same on several objects is one statement.
together AS (
    SELECT who, format('%s ON %s%s', what, kind, string_agg(object, ', ' ORDER BY object)) AS what,
           bool_or(grantable) AS grantable
    FROM besides GROUP BY who, kind, besides.what
)
SELECT format('%s has the right %s', who, string_agg(what, ' and ' ORDER BY what)),
       string_agg(format('REVOKE %s FROM %s%s', what, who, CASE WHEN grantable THEN ' CASCADE' END),
                             '; ' ORDER BY what)
FROM together GROUP BY who ORDER BY who
