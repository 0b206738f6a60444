"""Brings a copy to the snapshot from which a new stream goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

from psycopg import sql

from strangler.adapters.postgres.copies import hashing, repairing, totals, workers
from strangler.adapters.postgres.copies.differing import MISSING, ONLY_THERE, Difference
from strangler.adapters.postgres.copies.reading import Key, as_written, matching
from strangler.adapters.postgres.session.connection import Connection, connect, own_origin
from strangler.adapters.postgres.tables import acting
from strangler.adapters.postgres.tables.catalog import Table

BATCH_ROWS = 500  # rows that one statement changes


def level(
    capability: str,
    owner_dsn: str,
    copy_dsn: str,
    pairs: Sequence[tuple[Table, Table]],
    *,
    snapshot: str,
    by_bytes: bool,
    progress: Callable[[int], None],
) -> int:
    """Makes the copy, which nothing else writes, equal to the owner in the exported ``snapshot``; returns how many rows
    it has changed.

    It works in one transaction, which deletes first: after that there are only rows that the owner has, so no unique
    key is in the way. Readers of the copy see no gap. Deletions are queued as those of a stream are; the sweep touches
    nothing that belongs to a row which is there again.
    """
    by_name = {there.name: (here, there) for here, there in pairs}
    with (
        connect(owner_dsn, purpose=f"resync {capability}", idle_ms=0) as owner,
        connect(copy_dsn, purpose=f"resync {capability}", idle_ms=0) as copy,
        own_origin(copy, capability, "repair"),
        totals.sessions(
            owner_dsn, copy_dsn, purpose=f"resync {capability}", number=workers.number(), snapshot=snapshot
        ) as more,
    ):
        owner.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        owner.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(snapshot)))
        found: list[Difference] = []
        hashing.compare(
            owner,
            copy,
            pairs,
            catch_up=lambda: None,
            progress=progress,
            by_bytes=by_bytes,
            still=True,
            found=found.extend,
            more=more,
        )
        copy.execute("SET session_replication_role = replica")
        with copy.transaction():
            for name, keys in _batches([one for one in found if one.kind != MISSING]):
                table = by_name[name][1]
                where = matching(table, keys)
                acting.act(copy, table, sql.SQL("DELETE FROM ONLY {} WHERE {}").format(table.sql(), where))
            for name, keys in _batches([one for one in found if one.kind != ONLY_THERE]):
                _insert(owner, copy, *by_name[name], keys)
        owner.execute("COMMIT")
    return len(found)


def _batches(found: Sequence[Difference]) -> Iterator[tuple[str, list[Key]]]:
    # The differences come table by table.
    for name, group in groupby(found, lambda one: one.table):
        keys = [one.key for one in group]
        for start in range(0, len(keys), BATCH_ROWS):
            yield name, keys[start : start + BATCH_ROWS]


def _insert(owner: Connection, copy: Connection, source: Table, table: Table, keys: Sequence[Key]) -> None:
    columns = [column for column in table.columns if not column.generated]
    rows = as_written(owner.execute(repairing.reading(source, columns, keys)))
    assert len(rows) == len(keys)
    acting.act(copy, table, repairing.inserting(table, columns, rows))
