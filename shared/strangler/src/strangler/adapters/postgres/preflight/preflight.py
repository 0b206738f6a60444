"""Looks at both databases before anything is changed in either."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase

import psycopg
from psycopg import sql

from strangler.adapters.postgres.session.connection import Connection, describe, scalar
from strangler.adapters.postgres.session.dsn import without_secrets
from strangler.adapters.postgres.streams.leading import lead
from strangler.adapters.postgres.tables import acting, catalog
from strangler.adapters.postgres.tables.catalog import ForeignKey, Table
from strangler.domain.errors import ConfigurationError, PreflightError
from strangler.domain.project import Capability, Project

FREE = """
SELECT current_setting('max_replication_slots')::int
           - (SELECT count(*) FROM pg_replication_slots
              WHERE slot_name <> ALL (%s) OR database IS DISTINCT FROM current_database()),
       current_setting('max_wal_senders')::int - (SELECT count(*) FROM pg_stat_replication),
       current_setting('max_logical_replication_workers')::int
           - (SELECT count(*) FROM pg_stat_subscription WHERE pid IS NOT NULL)
"""
REACH_MS = 10_000
SUPERUSER = "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"
RIGHTS = """
SELECT r.rolreplication, has_database_privilege(current_database(), 'CREATE'),
       pg_has_role(current_user, 'pg_create_subscription', 'USAGE'),
       has_parameter_privilege('session_replication_role', 'SET'),
       (SELECT bool_and(has_function_privilege(p.oid, 'EXECUTE')) FROM pg_proc p
        WHERE p.pronamespace = 'pg_catalog'::regnamespace
          AND p.proname IN ('pg_replication_origin_create', 'pg_replication_origin_drop', 'pg_replication_origin_oid',
                            'pg_replication_origin_session_setup', 'pg_replication_origin_session_reset')),
       pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')
FROM pg_roles r WHERE r.rolname = current_user
"""
RIGHT_NAMES = (
    ("the REPLICATION attribute", "ALTER ROLE {role} REPLICATION"),
    ("CREATE on the database", "GRANT CREATE ON DATABASE {database} TO {role}"),
    ("membership in pg_create_subscription", "GRANT pg_create_subscription TO {role} WITH INHERIT TRUE"),
    ("SET on session_replication_role", "GRANT SET ON PARAMETER session_replication_role TO {role}"),
    (
        "the replication origin functions",
        "GRANT EXECUTE ON FUNCTION pg_replication_origin_create, pg_replication_origin_drop, "
        "pg_replication_origin_oid, pg_replication_origin_session_setup, pg_replication_origin_session_reset TO {role}",
    ),
    # Without it the transactions of other roles are invisible, and the gate that looks for long ones is always open.
    ("membership in pg_read_all_stats", "GRANT pg_read_all_stats TO {role} WITH INHERIT TRUE"),
)


def server(connection: Connection, ours: Sequence[str]) -> None:
    """Checks the settings, free places and rights that a side needs, as publisher and as subscriber.

    A slot that an interrupted start has left, under one of the names in ``ours``, does not count: it is removed first.

    Raises:
        PreflightError: naming the first thing that is missing, and what to do.
    """
    place = describe(connection.info.dsn)
    level = scalar(connection, "SELECT current_setting('wal_level')")
    if level != "logical":
        raise PreflightError(
            f"wal_level is {level}", place=place, remedy="set wal_level = logical and restart this server"
        )
    if connection.info.server_version < 160000:
        raise PreflightError("PostgreSQL 16 or newer is needed", place=place, remedy="upgrade this server first")
    row = connection.execute(FREE, (list(ours),)).fetchone()
    assert row is not None
    needed = (("max_replication_slots", 1), ("max_wal_senders", 1), ("max_logical_replication_workers", 1))
    for (name, least), free in zip(needed, row, strict=True):
        if free < least:
            raise PreflightError(f"{name} is used up", place=place, remedy=f"raise {name} and restart this server")
    rights(connection)


def rights(connection: Connection) -> None:
    """Checks the role's privileges; a superuser has them all.

    Raises:
        PreflightError: naming all privileges that are missing, with the statement that grants each.
    """
    if scalar(connection, SUPERUSER):
        return
    row = connection.execute(RIGHTS).fetchone()
    assert row is not None
    role, database = connection.info.user, connection.info.dbname
    missing = [right for right, held in zip(RIGHT_NAMES, row, strict=True) if not held]
    if missing:
        raise PreflightError(
            f"the role {role} lacks " + ", ".join(name for name, _ in missing),
            place=describe(connection.info.dsn),
            remedy="; ".join(grant.format(role=role, database=database) for _, grant in missing),
        )


def tables(connection: Connection, found: Sequence[Table]) -> None:
    """Every table can be streamed and proved: it has a primary key and a usable replica identity, and the tool's role
    is a member of its owner's.

    Raises:
        PreflightError: naming the table.
    """
    for table in found:
        _fit(table, describe(connection.info.dsn))
        owned = "SELECT pg_has_role(current_user, relowner, 'USAGE') FROM pg_class WHERE oid = %s"
        if not scalar(connection, owned, table.oid):
            raise PreflightError(
                f"the role {connection.info.user} does not own {table.name}",
                place=describe(connection.info.dsn),
                remedy="make it a member of the owner's role: a fence is a change of the table",
            )
        acting.require(connection, table)


def _fit(table: Table, place: str) -> None:
    if not table.publishable:
        raise PreflightError(
            f"{table.name} is unlogged or foreign: it cannot be streamed",
            place=place,
            remedy=f"ALTER TABLE {table.qualified} SET LOGGED, or leave it where it is",
        )
    if not table.key or not set(table.key) <= set(table.written):
        raise PreflightError(
            f"{table.name} has no primary key that identifies a row to a stream",
            place=place,
            remedy="give it one that is not deferrable and has no generated column",
        )
    if table.identity == "n" and not table.partitioned:
        raise PreflightError(
            f"{table.name} has REPLICA IDENTITY NOTHING: updates and deletes could not be streamed",
            place=place,
            remedy=f"ALTER TABLE {table.qualified} REPLICA IDENTITY DEFAULT",
        )


def target_empty(connection: Connection, found: Sequence[Table]) -> None:
    """Refuses a copy that holds rows which no start has put there.

    Raises:
        PreflightError: naming the table.
    """
    for table in found:
        filled = connection.execute(sql.SQL("SELECT EXISTS (SELECT FROM {})").format(table.sql())).fetchone()
        if filled and filled[0]:
            raise PreflightError(
                f"{table.name} holds rows already",
                place=describe(connection.info.dsn),
                remedy="empty it: a copy can only be proved when it alone filled the table",
            )


def every_table_placed(connection: Connection, project: Project) -> None:
    """Each table of the monolith moves with one capability or is listed as staying.

    Raises:
        ConfigurationError: naming tables that neither move nor are listed.
    """
    placed = {table for capability in project.capabilities.values() for table in capability.tables}
    lost = [
        table
        for table in catalog.all_tables(connection)
        if table not in placed and not any(fnmatchcase(table, pattern) for pattern in project.stays)
    ]
    if lost:
        raise ConfigurationError(
            f"nothing says where {', '.join(lost)} belongs",
            place="strangler.toml: stays.tables",
            remedy="add each to a capability's tables, or to stays.tables",
        )


def seams(connection: Connection, capability: Capability, found: Sequence[Table]) -> list[str]:
    """Checks foreign keys that cross the capability's edge: those into it must be named, those out of it must not write
    it.

    Returns warnings.

    Raises:
        ConfigurationError: a foreign key into the capability is not named under ``references``.
        PreflightError: a database-level action from outside would write a moved table.
    """
    named = {(reference.table, reference.column) for reference in capability.references}
    into = catalog.references_into(connection, found)
    unnamed = [
        f"{key.table}.{key.column}" for key in into if not named & {(key.table, column) for column in key.columns}
    ]
    if unnamed:
        raise ConfigurationError(
            f"foreign keys point into {capability.name} that are not named: {', '.join(unnamed)}",
            place=f"strangler.toml: capabilities.{capability.name}.references",
            remedy="name each with table and column: what a deletion means for it is cleaned up after the stream",
        )
    for name, table, parent, action in _actions_from_outside(connection, found):
        raise PreflightError(
            f"{table} is written by the database when a row of {parent} changes or goes ({name}, {action})",
            place=describe(connection.info.dsn),
            remedy="drop the action, or move both tables together",
        )
    return [f"{key.table}.{key.column} → {key.parent}: loose from the first switch on" for key in into]


def parents(
    connection: Connection, project: Project, capability: Capability, found: Sequence[Table]
) -> list[ForeignKey]:
    """The foreign keys of moved tables to tables that stay, without those of whose parents nothing is deleted.

    Tables of other capabilities are not among them: their own ``references`` say what refers to them.

    Raises:
        ConfigurationError: strangler.toml names a foreign key that is not there.
    """
    elsewhere = {table for each in project.capabilities.values() for table in each.tables}
    out = catalog.references_out_of(connection, found)
    for index, named in enumerate(capability.parents):
        if not any(named.table == key.table and named.column in key.columns for key in out):
            raise ConfigurationError(
                f"{named.table}.{named.column} is no foreign key to a table that does not move with it",
                place=f"strangler.toml: capabilities.{capability.name}.parents[{index}]",
                remedy="name a foreign key that is there, or remove the entry",
            )
    quiet = {(named.table, named.column) for named in capability.parents if not named.deletes}
    return [
        key for key in out if key.root not in elsewhere and not quiet & {(key.table, column) for column in key.columns}
    ]


def cascades(connection: Connection, project: Project, capability: Capability, found: Sequence[Table]) -> list[str]:
    """What happens to deletions of rows that stay and that moved rows point at: one sentence per parent."""
    reached: dict[str, list[str]] = {}
    for key in parents(connection, project, capability, found):
        reached.setdefault(key.root, []).append(f"{key.table}.{key.column}")
    return [
        f"deletions of {parent} reach {', '.join(columns)}: while the service owns them, Django sends such deletions "
        "to it and waits; raw SQL does not (cascade-from-outside)"
        for parent, columns in reached.items()
    ]


OUT = """
SELECT k.conname, regexp_replace(k.conrelid::regclass::text, '^public[.]', ''),
       regexp_replace(k.confrelid::regclass::text, '^public[.]', ''),
       CASE WHEN k.confdeltype = 'c' THEN 'ON DELETE CASCADE' WHEN k.confdeltype IN ('n', 'd') THEN 'ON DELETE SET'
            ELSE 'ON UPDATE' END
FROM pg_constraint k
WHERE k.contype = 'f' AND k.conparentid = 0 AND (k.confdeltype IN ('c', 'n', 'd') OR k.confupdtype IN ('c', 'n', 'd'))
  AND k.conrelid = ANY (%(tables)s::oid[]) AND NOT k.confrelid = ANY (%(tables)s::oid[])
"""


def _actions_from_outside(connection: Connection, found: Sequence[Table]) -> list[tuple[str, str, str, str]]:
    rows = connection.execute(OUT, {"tables": [table.oid for table in found]}).fetchall()
    return [(row[0], row[1], row[2], row[3]) for row in rows]


@contextmanager
def announced(publisher: Connection, publication: str) -> Iterator[str]:
    """Makes sure that the publication exists while the context is open: an empty one is made if there is none.

    A server warns of a publication that is missing. With the warning it logs the address that it has asked, with the
    password.
    """
    if scalar(publisher, "SELECT 1 FROM pg_publication WHERE pubname = %s", publication):
        yield publication
        return
    publisher.execute(sql.SQL("CREATE PUBLICATION {}").format(sql.Identifier(publication)))
    try:
        yield publication
    finally:
        if not publisher.broken and not publisher.closed:
            publisher.execute(sql.SQL("DROP PUBLICATION IF EXISTS {}").format(sql.Identifier(publication)))


def reachable(subscriber: Connection, publisher_dsn: str, publication: str) -> None:
    """The subscriber's server itself can connect to the publisher, which has the publication; leaves nothing behind.

    Raises:
        PreflightError: with the server's own words.
    """
    probe = sql.SQL(
        "CREATE SUBSCRIPTION strangler_probe CONNECTION %L PUBLICATION {} "
        "WITH (connect = true, create_slot = false, slot_name = NONE, enabled = false, copy_data = false)"
    ).format(sql.Identifier(publication))
    try:
        with subscriber.transaction(force_rollback=True):
            subscriber.execute("SET LOCAL client_min_messages = error")
            subscriber.execute(f"SET LOCAL statement_timeout = {REACH_MS}")
            lead(subscriber, probe, publisher_dsn)
    except psycopg.Error as error:
        raise PreflightError(
            f"this server cannot reach {describe(publisher_dsn)}: "
            + without_secrets(error.diag.message_primary or str(error), publisher_dsn),
            place=describe(subscriber.info.dsn),
            remedy="open the way between the two servers, or set replication_url for that database",
        ) from error
