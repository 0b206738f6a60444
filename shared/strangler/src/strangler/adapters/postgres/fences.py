"""The triggers of both fences, and the queue of deletions that arrive by a stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from psycopg import sql
from psycopg.types.json import Jsonb

from strangler.adapters.postgres.catalog import Table
from strangler.adapters.postgres.connection import Connection, scalar
from strangler.adapters.postgres.locks import locked
from strangler.domain import names
from strangler.ports.side import StaleError


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
    keys: Mapping[str, Sequence[str]] | None = None,
    ledger: str | None = None,
) -> None:
    """Writes the side's row and its triggers in one transaction; both fences stand the right way round.

    Replicated deletions from the tables in ``keys`` will be queued for the sweep, with those columns' values.

    Raises:
        StaleError: the side has been at ``epoch`` or beyond already, or is another ledger's.
    """
    with locked(connection, tables, "SHARE ROW EXCLUSIVE"):
        row = (
            capability,
            side,
            epoch,
            opened,
            None if opened else "monolith",
            peer_url,
            Jsonb(list(routes)),
            [table.qualified for table in tables],
            ledger,
        )
        if connection.execute(PLACE, row).rowcount != 1:
            raise StaleError(f"the {side} is past epoch {epoch} already, or another ledger's", place=capability)
        for table in tables:
            create(connection, table, capability)
        _queue_orphans(connection, capability, tables, keys or {})
        connection.execute("SELECT strangler.turn_fences(%s, %s)", (capability, opened))


PLACE = """
INSERT INTO strangler.side (capability, side, epoch, open, bounce_to, peer_url, routes, tables, ledger)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (capability) DO UPDATE SET epoch = excluded.epoch, open = excluded.open, bounce_to = excluded.bounce_to,
    peer_url = excluded.peer_url, routes = excluded.routes, tables = excluded.tables
WHERE side.epoch < excluded.epoch AND side.ledger IS NOT DISTINCT FROM excluded.ledger
"""


def create(connection: Connection, table: Table, capability: str) -> None:
    """Both fences of a table, in place of others of these names; not yet turned the right way round."""
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
    connection.execute(
        sql.SQL(
            "CREATE OR REPLACE TRIGGER {} BEFORE TRUNCATE ON {} FOR EACH STATEMENT "
            "EXECUTE FUNCTION strangler.refuse_truncate({})"
        ).format(sql.Identifier(names.TRUNCATE), table.sql(), sql.Literal(capability))
    )


def _queue_orphans(
    connection: Connection, capability: str, tables: Sequence[Table], keys: Mapping[str, Sequence[str]]
) -> None:
    name = sql.Identifier(names.ORPHAN)
    by_name = {table.name: table for table in tables}
    noted = {by_name[parent].qualified: list(columns) for parent, columns in keys.items()}
    connection.execute("UPDATE strangler.side SET keys = %s WHERE capability = %s", (Jsonb(noted), capability))
    for parent, columns in keys.items():
        table = by_name[parent].sql()
        # The arguments are for an older version of the function, to which the first column is all there is.
        connection.execute(
            sql.SQL(
                "CREATE OR REPLACE TRIGGER {} AFTER DELETE ON {} FOR EACH ROW "
                "EXECUTE FUNCTION strangler.queue_orphan({}, {}, {})"
            ).format(
                name,
                table,
                sql.Literal(capability),
                sql.Literal(columns[0] if len(columns) == 1 else ""),
                sql.Literal(parent),
            )
        )
        connection.execute(sql.SQL("ALTER TABLE {} ENABLE REPLICA TRIGGER {}").format(table, name))
        # The sweep runs as the application, which owns its tables but not this schema.
        connection.execute(
            "SELECT strangler.let_sweep(pg_get_userbyid(relowner)) FROM pg_class WHERE oid = %s", (by_name[parent].oid,)
        )


QUEUED = """
SELECT s.keys -> %s FROM strangler.side s
WHERE s.capability = %s AND EXISTS (SELECT FROM pg_trigger WHERE tgrelid = %s AND tgname = %s)
"""
QUEUE_MORE = "UPDATE strangler.side SET keys = keys || jsonb_build_object(%s::text, %s::jsonb) WHERE capability = %s"


def queue_more(
    connection: Connection, *, capability: str, tables: Sequence[Table], keys: Mapping[str, Sequence[str]]
) -> list[str]:
    """Queues deletions with the columns that something has come to point at since the move began; says which.

    Only of tables that have the trigger: to make one, all writers would have to be waited for.
    """
    changed = []
    for table in (table for table in tables if table.name in keys):
        row = connection.execute(QUEUED, (table.qualified, capability, table.oid, names.ORPHAN)).fetchone()
        known: list[str] = (row[0] or []) if row else list(keys[table.name])
        more = [column for column in keys[table.name] if column not in known]
        if more:
            connection.execute(QUEUE_MORE, (table.qualified, Jsonb(known + more), capability))
            changed.append(f"deletions of {table.name} are queued with {', '.join(known + more)} now")
    return changed


ORPHANS = """
SELECT count(*) FILTER (WHERE attempts = 0), count(*) FILTER (WHERE attempts > 0),
       coalesce((SELECT max(rows) FROM strangler.swept WHERE capability = %(capability)s), 0)
FROM strangler.orphan WHERE capability = %(capability)s
"""


def orphans(connection: Connection, capability: str) -> dict[str, int]:
    """Deletions that came by the stream: how many wait for their clean-up, have failed, and are done."""
    if scalar(connection, "SELECT to_regclass('strangler.swept')") is None:
        return {}
    row = connection.execute(ORPHANS, {"capability": capability}).fetchone()
    assert row is not None
    return dict(zip(("waiting", "failing", "swept"), row, strict=True))


def allow_truncate(connection: Connection, *, tables: Sequence[Table]) -> None:
    """No stream leaves this side any more, so a TRUNCATE makes nothing differ.

    The trigger is only disabled: removing it would have to wait for every reader, too.
    """
    standing = "SELECT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = %s AND tgname = %s)"
    with locked(connection, tables, "SHARE ROW EXCLUSIVE"):
        for table in tables:
            if scalar(connection, standing, table.oid, names.TRUNCATE):
                connection.execute(
                    sql.SQL("ALTER TABLE {} DISABLE TRIGGER {}").format(table.sql(), sql.Identifier(names.TRUNCATE))
                )


# By function, for somebody may have given one another name; a partition's go with its table's.
OURS = """
SELECT g.tgname FROM pg_trigger g JOIN pg_proc p ON p.oid = g.tgfoid
WHERE g.tgrelid = %s AND g.tgparentid = 0 AND (g.tgname = ANY (%s) OR p.pronamespace = 'strangler'::regnamespace)
"""


def remove(connection: Connection, *, capability: str, tables: Sequence[Table]) -> None:
    """Takes both fences and the side's row away, in one transaction."""
    with locked(connection, tables, "ACCESS EXCLUSIVE"):
        for table in tables:
            for (name,) in connection.execute(OURS, (table.oid, list(names.TRIGGERS))).fetchall():
                connection.execute(sql.SQL("DROP TRIGGER {} ON {}").format(sql.Identifier(name), table.sql()))
        for table_name in ("side", "marker", "orphan", "deferred", "swept", "used"):
            connection.execute(
                sql.SQL("DELETE FROM strangler.{} WHERE capability = %s").format(sql.Identifier(table_name)),
                (capability,),
            )
