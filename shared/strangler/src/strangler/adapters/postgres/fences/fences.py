"""The triggers of both fences.

Note "no trigger": COPY writes rows one by one into a table that has a BEFORE ROW trigger, though it be disabled, and
many at a time into one that has none. On a copy the replica fence is disabled, so it refuses nothing there, and the
first copy goes without it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from psycopg import sql
from psycopg.types.json import Jsonb

from strangler.adapters.postgres.fences import deletions
from strangler.adapters.postgres.session.connection import Connection, scalar
from strangler.adapters.postgres.tables.catalog import Table
from strangler.adapters.postgres.tables.locks import locked
from strangler.domain import names
from strangler.ports.replication import Patience
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
    patience: Patience,
) -> None:
    """Writes the side's row and its triggers in one transaction; both fences are the right way round then.

    Replicated deletions from the tables in ``keys`` will be queued for the sweep, with those columns' values.

    Raises:
        StaleError: the side has been at ``epoch`` or beyond already, or belongs to another ledger.
        MoveError: the tables did not become free.
    """
    with locked(connection, tables, "SHARE ROW EXCLUSIVE", patience):
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
        deletions.note(connection, capability, tables, keys or {})
        queued = deletions.noted(connection, capability)
        for table in (table for table in tables if table.qualified in queued):
            deletions.queue(connection, capability, table, queued[table.qualified])
        connection.execute("SELECT strangler.turn_fences(%s, %s)", (capability, opened))


PLACE = """
INSERT INTO strangler.side (capability, side, epoch, open, bounce_to, peer_url, routes, tables, ledger)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (capability) DO UPDATE SET epoch = excluded.epoch, open = excluded.open, bounce_to = excluded.bounce_to,
    peer_url = excluded.peer_url, routes = excluded.routes, tables = excluded.tables
WHERE side.epoch < excluded.epoch AND side.ledger IS NOT DISTINCT FROM excluded.ledger
"""


def create(connection: Connection, table: Table, capability: str) -> None:
    """Makes all fences of a table, and replaces others of these names; they are not the right way round yet."""
    connection.execute("SELECT strangler.raise_fence(%s, %s)", (capability, table.oid))


def put_off(connection: Connection, tables: Sequence[Table]) -> None:
    """Removes the replica fence's row triggers for the time of a first copy; see the note "no trigger"."""
    with connection.transaction():
        for table in (table for table in tables if not table.partitioned):
            name = sql.Identifier(names.REPLICA_FENCE)
            connection.execute(sql.SQL("DROP TRIGGER IF EXISTS {} ON {}").format(name, table.sql()))


def put_back(connection: Connection, capability: str, tables: Sequence[Table]) -> None:
    """Makes all fences anew, as they are on a side that is closed; its commit is synchronous."""
    # By locks that are waited for, for nobody writes a copy; a vacuum that was not asked for gives way after a second.
    with connection.transaction():
        for table in tables:
            create(connection, table, capability)
        connection.execute("SELECT strangler.turn_fences(%s, false)", (capability,))


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


def remove(connection: Connection, *, capability: str, tables: Sequence[Table]) -> None:
    """Removes the fences, and all that the schema knows of the capability, in one transaction."""
    with locked(connection, tables, "ACCESS EXCLUSIVE"):
        connection.execute("SELECT strangler.remove_side(%s, %s)", (capability, [table.oid for table in tables]))
