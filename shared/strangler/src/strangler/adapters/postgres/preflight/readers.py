"""Looks for anything that hides rows from a session of the tool, or keeps it from writing them."""

from __future__ import annotations

from collections.abc import Sequence

from strangler.adapters.postgres.session.connection import Connection, describe, scalar
from strangler.adapters.postgres.tables.catalog import Table
from strangler.domain.errors import ConfigurationError, PreflightError
from strangler.ports.replication import SHOW_ALL

# A stream applies changes as the table's owner; with FORCE, policies filter the owner, too.
POLICIES = """
SELECT c.oid,
       coalesce((SELECT string_agg(p.polname, ', ' ORDER BY p.polname) FROM pg_policy p WHERE p.polrelid = c.oid),
                'no policy, which shows nothing'),
       CASE WHEN row_security_active(c.oid) THEN current_user ELSE r.rolname END
FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner
WHERE c.oid = ANY (%s::oid[]) AND c.relrowsecurity
  AND (row_security_active(c.oid) OR (c.relforcerowsecurity AND NOT r.rolsuper AND NOT r.rolbypassrls))
"""
# A rule rewrites the statements of an application or a repair into something else; COPY and streams bypass it.
RULES = """
SELECT w.ev_class, w.rulename FROM pg_rewrite w
WHERE w.ev_class = ANY (%s::oid[]) AND w.rulename <> '_RETURN' AND w.ev_enabled <> 'D' ORDER BY w.rulename
"""
RIGHTS = """
SELECT c.oid, who.role, string_agg(wanted, ', ' ORDER BY position)
FROM pg_class c
CROSS JOIN LATERAL (SELECT current_user AS role UNION SELECT pg_get_userbyid(c.relowner)) who
CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) WITH ORDINALITY AS w (wanted, position)
WHERE c.oid = ANY (%s::oid[]) AND NOT has_table_privilege(who.role, c.oid, wanted)
GROUP BY c.oid, who.role ORDER BY c.oid, who.role
"""
KINDS = {
    "v": "a view",
    "m": "a materialized view",
    "f": "a foreign table",
    "S": "a sequence",
    "i": "an index",
    "I": "an index",
    "c": "a composite type",
    "t": "a TOAST table",
}
NAMESAKES = """
SELECT c.relname, n.nspname, c.relkind::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relname = ANY (%(names)s) AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'strangler')
  AND c.relkind IN ('r', 'p', 'v', 'm', 'f') ORDER BY n.nspname
"""
# A role with a search path of its own in this database, or with a schema of its own name, may find another table first.
PATHS = """
SELECT coalesce(r.rolname, ''), p.path FROM pg_db_role_setting s
LEFT JOIN pg_roles r ON r.oid = s.setrole
CROSS JOIN LATERAL (SELECT substr(one, length('search_path=') + 1) AS path FROM unnest(s.setconfig) one
                    WHERE one LIKE 'search_path=%%') p
WHERE s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
UNION ALL
SELECT r.rolname, '"$user", public' FROM pg_roles r JOIN pg_namespace n ON n.nspname = r.rolname
WHERE r.rolcanlogin AND has_schema_privilege(r.oid, n.oid, 'USAGE') AND NOT EXISTS (
    SELECT FROM pg_db_role_setting s, unnest(s.setconfig) one WHERE one LIKE 'search_path=%%'
        AND s.setrole IN (0, r.oid)
        AND s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database())))
"""


def filters(connection: Connection, tables: Sequence[Table]) -> list[str]:
    """The things that stand between this role and the rows of these tables: one sentence each."""
    names = {table.oid: table.name for table in tables}
    oids = list(names)
    found = [
        f"{names[oid]} is filtered for {role} by row-level security ({policies})"
        for oid, policies, role in connection.execute(POLICIES, (oids,)).fetchall()
    ]
    found += [
        f"{names[oid]} has the rule {rule}, which rewrites what is written"
        for oid, rule in connection.execute(RULES, (oids,)).fetchall()
    ]
    return found + [
        f"{role} lacks {rights} on {names[oid]}" for oid, role, rights in connection.execute(RIGHTS, (oids,)).fetchall()
    ]


def fit(connection: Connection, tables: Sequence[Table], names: Sequence[str], *, database: str) -> None:
    """Every name is the table that applications find by it, and the tool sees and can write every row of it.

    Raises:
        ConfigurationError: see `tables_are_tables`.
        PreflightError: naming policies, rules and missing rights.
    """
    stays_itself(connection)
    tables_are_tables(connection, names, database=database)
    if found := filters(connection, tables):
        raise PreflightError("; ".join(found), place=describe(connection.info.dsn), remedy=SHOW_ALL, id="rows-hidden")


def tables_are_tables(connection: Connection, names: Sequence[str], *, database: str) -> None:
    """Each name is a table's, and the one that applications find by it.

    Raises:
        ConfigurationError: it is something else, or lies in another schema.
    """
    namesakes: dict[str, dict[str, str]] = {}
    for found, where, kind in connection.execute(
        NAMESAKES, {"names": [name.rpartition(".")[2] for name in names]}
    ).fetchall():
        namesakes.setdefault(found, {})[where] = kind
    for name in names:
        schema, _, bare = name.rpartition(".")
        kinds = dict(namesakes.get(bare, {}))
        own = kinds.pop(schema or "public", None)
        place = f"strangler.toml: table {name}"
        if own in KINDS:
            raise ConfigurationError(
                f"{name} is {KINDS[own]} in the database {database}, and only tables move",
                place=place,
                remedy="name the tables that hold its rows",
                id="not-a-table",
            )
        elsewhere = [f"{other}.{bare}" for other, kind in kinds.items() if kind in ("r", "p")]
        if own is None and elsewhere:
            raise ConfigurationError(
                f"there is no table {name} in the database {database}, but {', '.join(elsewhere)}",
                place=place,
                remedy="a name without a schema is public's: write the schema before it, here and wherever "
                "strangler.toml names the table",
                id="table-elsewhere",
            )
        if not schema and kinds:
            _found_first(connection, bare, kinds, database=database)


def _found_first(connection: Connection, name: str, elsewhere: dict[str, str], *, database: str) -> None:
    for role, path in connection.execute(PATHS, ()).fetchall():
        for schema in _schemas(path, role):
            if schema == "public":
                break
            if schema in elsewhere:
                raise ConfigurationError(
                    f"two tables are called {name} in the database {database}, and "
                    f"{role or 'every role'} finds {schema}.{name} before public.{name} (search_path = {path})",
                    place=f"strangler.toml: table {name}",
                    remedy=f"write {schema}.{name} if that is the one, or take one of the two away",
                    id="table-elsewhere",
                )


def _schemas(path: str, role: str) -> list[str]:
    named = [one.strip().strip('"') for one in path.split(",")]
    return [role if one == "$user" else one for one in named]


BECOMES = """
SELECT substr(one, length('role=') + 1) FROM pg_db_role_setting s, unnest(s.setconfig) one
WHERE one LIKE 'role=%%' AND one <> 'role=none'
  AND s.setrole IN (0, (SELECT oid FROM pg_roles WHERE rolname = session_user))
  AND s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
"""


def stays_itself(connection: Connection) -> None:
    """A stream's sessions are the servers' own. They inherit settings that the tool's sessions do not, and a session
    that becomes another role may not stream.

    Raises:
        PreflightError: sessions of this role become another.
    """
    if other := scalar(connection, BECOMES):
        role, database = connection.info.user, connection.info.dbname
        raise PreflightError(
            f"sessions of the role {role} become {other} here, and those of the streams would, too",
            place=describe(connection.info.dsn),
            remedy=f"ALTER ROLE {role} RESET role; ALTER ROLE {role} IN DATABASE {database} RESET role; "
            f"ALTER DATABASE {database} RESET role",
            id="role-changes",
        )
