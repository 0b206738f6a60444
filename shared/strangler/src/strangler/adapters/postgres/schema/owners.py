"""Who owns the schema ``strangler``: the tool reads, calls or changes nothing in it that somebody else has made.

Note "ours alone": the owner of a function, a table or a trigger in it can run anything in a session of the tool.
``CREATE ... IF NOT EXISTS`` accepts an object that is there already, and ``CREATE OR REPLACE`` keeps its owner.
"""

from __future__ import annotations

from psycopg import sql

from strangler.adapters.postgres.session.connection import Connection, describe
from strangler.domain.errors import PreflightError

SCHEMA = "strangler"

# A superuser counts as a member of every role, so membership is looked up in the catalogue.
FOREIGN = """
WITH RECURSIVE mine (oid) AS (
    SELECT oid FROM pg_roles WHERE rolname = current_user
    UNION SELECT m.roleid FROM pg_auth_members m JOIN mine ON m.member = mine.oid
), trusted (oid) AS (
    SELECT oid FROM mine
    UNION SELECT r.oid FROM pg_roles r
    WHERE r.rolsuper AND EXISTS (SELECT FROM pg_roles WHERE rolname = current_user AND rolsuper)
), schema AS (SELECT * FROM pg_namespace WHERE nspname = %(schema)s)
SELECT format('the schema %%I is %%I''s', s.nspname, pg_get_userbyid(s.nspowner))
FROM schema s WHERE s.nspowner NOT IN (SELECT oid FROM trusted)
UNION ALL
SELECT format('%%s may create in the schema %%I',
              CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END, s.nspname)
FROM schema s, aclexplode(s.nspacl) a
WHERE a.privilege_type = 'CREATE' AND a.grantee NOT IN (SELECT oid FROM trusted)
UNION ALL
SELECT format('%%s is %%I''s', c.oid::regclass, pg_get_userbyid(c.relowner))
FROM schema s JOIN pg_class c ON c.relnamespace = s.oid WHERE c.relowner NOT IN (SELECT oid FROM trusted)
UNION ALL
SELECT format('%%s is %%I''s', p.oid::regprocedure, pg_get_userbyid(p.proowner))
FROM schema s JOIN pg_proc p ON p.pronamespace = s.oid WHERE p.proowner NOT IN (SELECT oid FROM trusted)
UNION ALL
SELECT format('the type %%s is %%I''s', t.oid::regtype, pg_get_userbyid(t.typowner))
FROM schema s JOIN pg_type t ON t.typnamespace = s.oid AND t.typrelid = 0 AND t.typelem = 0
WHERE t.typowner NOT IN (SELECT oid FROM trusted)
UNION ALL
SELECT format('the trigger %%I on %%s calls %%s, which is not the tool''s',
              g.tgname, c.oid::regclass, g.tgfoid::regprocedure)
FROM schema s JOIN pg_class c ON c.relnamespace = s.oid JOIN pg_trigger g ON g.tgrelid = c.oid AND NOT g.tgisinternal
JOIN pg_proc p ON p.oid = g.tgfoid
WHERE p.pronamespace <> s.oid AND p.proowner NOT IN (SELECT oid FROM trusted)
LIMIT 20
"""
PRIVILEGED = "SELECT rolsuper OR rolreplication FROM pg_roles WHERE rolname = current_user"


def require_own(connection: Connection, *, guest: bool = False) -> None:
    """The schema and all in it belong to this session's role, or to a role of which it is a member; or there is no
    schema.

    A ``guest`` has none of the tool's rights (it is no superuser and may not replicate), for example a gateway's agent
    with a role of its own. It may use objects of others, for they can misuse only the guest's own few rights.

    Raises:
        PreflightError: naming each object that belongs to somebody else, and its owner.
    """
    found = [row[0] for row in connection.execute(FOREIGN, {"schema": SCHEMA}).fetchall()]
    if not found or (guest and connection.execute(PRIVILEGED).fetchone() == (False,)):
        return
    role = sql.Identifier(connection.info.user).as_string(connection)
    raise PreflightError(
        f"not all of the schema {SCHEMA} is this role's:" + "".join(f"\n    {one}" for one in found),
        place=describe(connection.info.dsn),
        remedy=f"work as the role that has made it; or, where nobody should have, DROP SCHEMA {SCHEMA} CASCADE, or "
        f"ALTER ... OWNER TO {role} after a look at what it does, and REVOKE CREATE ON SCHEMA {SCHEMA} from others",
        id="schema-of-others",
    )


def trusted(connection: Connection, *, guest: bool = False) -> Connection:
    """The session, if `require_own` accepts what the session would use; otherwise the session is closed.

    Raises:
        PreflightError: see `require_own`.
    """
    try:
        require_own(connection, guest=guest)
    except BaseException:
        connection.close()
        raise
    return connection
