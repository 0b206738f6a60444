"""The triggers of both fences, and the queue of deletions that arrive by a stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from psycopg import sql
from psycopg.types.json import Jsonb

from strangler.adapters.postgres.catalog import ForeignKey, Table
from strangler.adapters.postgres.connection import Connection, script
from strangler.domain import names


def install(connection: Connection) -> None:
    """Creates or brings up to date the schema ``strangler``; safe to run again and at the same time."""
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(hashtext('strangler install'))")
        connection.execute(script("side"))


def install_ledger(connection: Connection) -> None:
    """The ledger's tables, beside the side's in the monolith's database."""
    install(connection)
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(hashtext('strangler install'))")
        connection.execute(script("ledger"))


def raise_fences(
    connection: Connection,
    *,
    capability: str,
    side: str,
    opened: bool,
    epoch: int,
    tables: Sequence[Table],
    peer_url: str,
    routes: Sequence[Mapping[str, object]],
) -> None:
    """Writes the side's row and its triggers in one transaction; both fences stand the right way round."""
    with connection.transaction():
        connection.execute(
            """INSERT INTO strangler.side (capability, side, epoch, open, bounce_to, peer_url, routes, tables)
               VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
               ON CONFLICT (capability) DO UPDATE SET peer_url = excluded.peer_url, routes = excluded.routes,
                   tables = excluded.tables, bounce_to = excluded.bounce_to, open = excluded.open,
                   epoch = greatest(side.epoch, excluded.epoch)""",
            (
                capability,
                side,
                epoch,
                opened,
                None if opened else "monolith",
                peer_url,
                Jsonb(list(routes)),
                [table.qualified for table in tables],
            ),
        )
        connection.execute("SELECT strangler.lock_tables(%s)", (capability,))
        for table in tables:
            _create(connection, table, capability)
        connection.execute("SELECT strangler.turn_fences(%s, %s)", (capability, opened))


def _create(connection: Connection, table: Table, capability: str) -> None:
    parts = [
        (names.FENCE, "BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE", "STATEMENT", "write"),
        (names.REPLICA_TRUNCATE, "BEFORE TRUNCATE", "STATEMENT", "replicated truncate"),
    ]
    if not table.partitioned:
        parts.append((names.REPLICA_FENCE, "BEFORE INSERT OR UPDATE OR DELETE", "ROW", "replicated row"))
    for name, moment, level, what in parts:
        connection.execute(
            sql.SQL(
                "CREATE OR REPLACE TRIGGER {} {} ON {} FOR EACH {} EXECUTE FUNCTION strangler.refuse({}, {})"
            ).format(
                sql.Identifier(name),
                sql.SQL(moment),
                table.sql(),
                sql.SQL(level),
                sql.Literal(capability),
                sql.Literal(what),
            )
        )


def queue_orphans(connection: Connection, *, capability: str, keys: Sequence[ForeignKey]) -> None:
    """Replicated deletions of rows that others here point at are queued for the sweep."""
    parents = sorted({(key.parent, key.parent_column) for key in keys})
    with connection.transaction():
        for parent, column in parents:
            name = sql.Identifier(names.ORPHAN)
            table = sql.Identifier(parent)
            connection.execute(
                sql.SQL(
                    "CREATE OR REPLACE TRIGGER {} AFTER DELETE ON {} FOR EACH ROW "
                    "EXECUTE FUNCTION strangler.queue_orphan({}, {})"
                ).format(name, table, sql.Literal(capability), sql.Literal(column))
            )
            connection.execute(sql.SQL("ALTER TABLE {} ENABLE REPLICA TRIGGER {}").format(table, name))
            # The sweep runs as the application, which owns its tables but not this schema.
            owner = connection.execute(
                "SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = %s::regclass", (parent,)
            ).fetchone()
            if owner:
                role = sql.Identifier(owner[0])
                connection.execute(sql.SQL("GRANT UPDATE, DELETE ON strangler.orphan TO {}").format(role))
                connection.execute(sql.SQL("GRANT INSERT, UPDATE ON strangler.swept TO {}").format(role))


def remove(connection: Connection, *, capability: str, tables: Sequence[Table]) -> None:
    """Takes both fences and the side's row away, in one transaction."""
    with connection.transaction():
        for table in tables:
            for name in (names.FENCE, names.REPLICA_FENCE, names.REPLICA_TRUNCATE, names.ORPHAN):
                connection.execute(sql.SQL("DROP TRIGGER IF EXISTS {} ON {}").format(sql.Identifier(name), table.sql()))
        for table_name in ("side", "marker", "orphan", "deferred", "swept"):
            connection.execute(
                sql.SQL("DELETE FROM strangler.{} WHERE capability = %s").format(sql.Identifier(table_name)),
                (capability,),
            )
