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
from strangler.domain.errors import ConfigurationError, PreflightError, StranglerError
from strangler.domain.findings import Finding, Severity
from strangler.domain.project import Capability, Project

FREE = """
SELECT current_setting('max_replication_slots')::int
           - (SELECT count(*) FROM pg_replication_slots
              WHERE slot_name <> ALL (%s) OR database IS DISTINCT FROM current_database()),
       current_setting('max_wal_senders')::int - (SELECT count(*) FROM pg_stat_replication),
       current_setting('max_logical_replication_workers')::int
           - (SELECT count(*) FROM pg_stat_subscription WHERE pid IS NOT NULL)
"""
OWNERS = """
SELECT oid::int8, relowner::int8, pg_has_role(current_user, relowner, 'USAGE') FROM pg_class WHERE oid = ANY (%s::oid[])
"""
ASKED_AT_ONCE = 100  # tables
REACH_MS = 10_000
SUPERUSER = "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"
RIGHTS = """
SELECT r.rolreplication OR EXISTS (SELECT FROM pg_roles g WHERE g.rolname = 'rds_replication'
                                   AND pg_has_role(current_user, g.oid, 'USAGE')),
       has_database_privilege(current_database(), 'CREATE'),
       pg_has_role(current_user, 'pg_create_subscription', 'USAGE'),
       %s,
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


def server(connection: Connection, ours: Sequence[str]) -> Iterator[StranglerError]:
    """What a side lacks as publisher and as subscriber: settings, free places and rights.

    A slot that an interrupted start has left, under one of the names in ``ours``, does not count: it is removed first.
    """
    place = describe(connection.info.dsn)
    level = scalar(connection, "SELECT current_setting('wal_level')")
    if level != "logical":
        yield PreflightError(
            f"wal_level is {level}",
            place=place,
            remedy="set wal_level = logical and restart this server",
            id="wal-level",
        )
    if connection.info.server_version < 160000:
        yield PreflightError(
            "PostgreSQL 16 or newer is needed", place=place, remedy="upgrade this server first", id="server-version"
        )
        return
    row = connection.execute(FREE, (list(ours),)).fetchone()
    assert row is not None
    needed = (("max_replication_slots", 1), ("max_wal_senders", 1), ("max_logical_replication_workers", 1))
    for (name, least), free in zip(needed, row, strict=True):
        if free < least:
            yield PreflightError(
                f"{name} is used up", place=place, remedy=f"raise {name} and restart this server", id="places-used-up"
            )
    yield from rights(connection)


def rights(connection: Connection) -> Iterator[StranglerError]:
    """All privileges that the role lacks, with the statement that grants each; a superuser has them all."""
    if scalar(connection, SUPERUSER):
        return
    row = connection.execute(RIGHTS, (_may_write_the_copy(connection),)).fetchone()
    assert row is not None
    role, database = connection.info.user, connection.info.dbname
    missing = [right for right, held in zip(RIGHT_NAMES, row, strict=True) if not held]
    if missing:
        yield PreflightError(
            f"the role {role} lacks " + ", ".join(name for name, _ in missing),
            place=describe(connection.info.dsn),
            remedy="; ".join(grant.format(role=role, database=database) for _, grant in missing),
            id="rights-missing",
        )


def _may_write_the_copy(connection: Connection) -> bool:
    """Tried, and not asked: some providers let a role set this without the privilege that the catalogue knows."""
    try:
        with connection.transaction(force_rollback=True):
            connection.execute("SET LOCAL session_replication_role = replica")
    except psycopg.errors.InsufficientPrivilege:
        return False
    return True


def tables(connection: Connection, found: Sequence[Table]) -> Iterator[StranglerError]:
    """The tables that cannot be streamed or proved: each needs a primary key and a usable replica identity, and the
    tool's role must be a member of its owner's."""
    owners = {
        oid: (owner, owned)
        for oid, owner, owned in connection.execute(OWNERS, ([one.oid for one in found],)).fetchall()
    }
    acted: set[int] = set()
    for table in found:
        yield from _fit(table, describe(connection.info.dsn))
        owner, owned = owners[table.oid]
        if owned and owner not in acted:
            acted.add(owner)
            try:
                acting.require(connection, table)
            except PreflightError as error:
                yield error
    if others := [table.name for table in found if not owners[table.oid][1]]:
        yield PreflightError(
            f"the role {connection.info.user} does not own {', '.join(others)}",
            place=describe(connection.info.dsn),
            remedy="make it a member of the owner's role: a fence is a change of the table",
            id="not-the-owner",
        )


def _fit(table: Table, place: str) -> Iterator[StranglerError]:
    if not table.publishable:
        yield PreflightError(
            f"{table.name} is unlogged or foreign: it cannot be streamed",
            place=place,
            remedy=f"ALTER TABLE {table.qualified} SET LOGGED, or leave it where it is",
            id="table-cannot-be-streamed",
        )
    if not table.key or not set(table.key) <= set(table.written):
        yield PreflightError(
            f"{table.name} has no primary key that identifies a row to a stream",
            place=place,
            remedy="give it one that is not deferrable and has no generated column",
            id="primary-key",
        )
    if table.identity == "n" and not table.partitioned:
        yield PreflightError(
            f"{table.name} has REPLICA IDENTITY NOTHING: updates and deletes could not be streamed",
            place=place,
            remedy=f"ALTER TABLE {table.qualified} REPLICA IDENTITY DEFAULT",
            id="replica-identity",
        )


def target_empty(connection: Connection, found: Sequence[Table]) -> Iterator[StranglerError]:
    """The tables of a copy that hold rows which no start has put there."""
    filled: set[str] = set()
    for first in range(0, len(found), ASKED_AT_ONCE):
        queries = [
            sql.SQL("SELECT {} WHERE EXISTS (SELECT FROM {})").format(sql.Literal(table.name), table.sql())
            for table in found[first : first + ASKED_AT_ONCE]
        ]
        filled |= {row[0] for row in connection.execute(sql.SQL(" UNION ALL ").join(queries)).fetchall()}
    for name in sorted(filled):
        yield PreflightError(
            f"{name} holds rows already",
            place=describe(connection.info.dsn),
            remedy="empty it: a copy can only be proved when it alone filled the table",
            id="copy-not-empty",
        )


def every_table_placed(connection: Connection, project: Project) -> Iterator[StranglerError]:
    """The monolith's tables that neither move with a capability nor are listed as staying."""
    placed = {table for capability in project.capabilities.values() for table in capability.tables}
    lost = [
        table
        for table in catalog.all_tables(connection)
        if table not in placed and not any(fnmatchcase(table, pattern) for pattern in project.stays)
    ]
    if lost:
        yield ConfigurationError(
            f"nothing says where {', '.join(lost)} belongs",
            place="strangler.toml: stays.tables",
            remedy="add each to a capability's tables, or to stays.tables",
            id="table-without-place",
        )


def seams(connection: Connection, capability: Capability, found: Sequence[Table]) -> Iterator[StranglerError | Finding]:
    """Foreign keys that cross the capability's edge: those into it must be named under ``references``, those out of it
    must not write it by an action of the database."""
    named = {(reference.table, reference.column) for reference in capability.references}
    into = catalog.references_into(connection, found)
    unnamed = [
        f"{key.table}.{key.column}" for key in into if not named & {(key.table, column) for column in key.columns}
    ]
    if unnamed:
        yield ConfigurationError(
            f"foreign keys point into {capability.name} that are not named: {', '.join(unnamed)}",
            place=f"strangler.toml: capabilities.{capability.name}.references",
            remedy="name each with table and column: what a deletion means for it is cleaned up after the stream",
            id="reference-not-named",
        )
    for name, table, parent, action in _actions_from_outside(connection, found):
        yield PreflightError(
            f"{table} is written by the database when a row of {parent} changes or goes ({name}, {action})",
            place=describe(connection.info.dsn),
            remedy="drop the action, or move both tables together",
            id="action-from-outside",
        )
    for key in into:
        yield Finding(
            "loose-reference",
            Severity.NOTE,
            f"{key.table}.{key.column}",
            f"{key.table}.{key.column} → {key.parent}: loose from the first switch on",
            "run `manage.py sweep_references` beside the monolith: it cleans up behind deletions",
        )


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
                id="reference-wrong",
            )
    quiet = {(named.table, named.column) for named in capability.parents if not named.deletes}
    return [
        key for key in out if key.root not in elsewhere and not quiet & {(key.table, column) for column in key.columns}
    ]


def cascades(
    connection: Connection, project: Project, capability: Capability, found: Sequence[Table]
) -> Iterator[Finding]:
    """What happens to deletions of rows that stay and that moved rows point at: one finding per parent."""
    reached: dict[str, list[str]] = {}
    for key in parents(connection, project, capability, found):
        reached.setdefault(key.root, []).append(f"{key.table}.{key.column}")
    for parent, columns in reached.items():
        yield Finding(
            "cascade-from-outside",
            Severity.WARNING,
            parent,
            f"deletions of {parent} reach {', '.join(columns)}: while the service owns them, Django sends such "
            "deletions to it and waits; raw SQL does not",
            "install the present chassis on both sides, for which the gate `deletions` asks; or write deletes = false "
            f"under capabilities.{capability.name}.parents, if no such row is ever deleted",
        )


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
            id="servers-apart",
        ) from error
