"""Compares the schema ``strangler`` and the rights on it with what the tool has made."""

from __future__ import annotations

from collections.abc import Iterator

from strangler.adapters.postgres.session.connection import Connection, script

BESIDES = """
WITH place AS (SELECT oid FROM pg_namespace WHERE nspname = 'strangler'),
relation AS (SELECT c.* FROM pg_class c JOIN place ON c.relnamespace = place.oid WHERE c.relkind IN ('r', 'S'))
SELECT * FROM (GIVEN) given
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
    """Each thing that somebody has granted, revoked or made there by hand, and the statement that takes it back."""
    yield from connection.execute(BESIDES.replace("GIVEN", script("given")).encode()).fetchall()


def take_back(connection: Connection) -> None:
    """Revokes what default privileges have granted on the objects that an install has made."""
    for _, statement in connection.execute(script("given").encode()).fetchall():
        connection.execute(statement.encode())
