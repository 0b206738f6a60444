"""How long a first copy and a verify would take, and how much they would write: from sizes, and from a sample."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from io import BytesIO

from psycopg import sql

from strangler.adapters.postgres.preflight.both import Both
from strangler.adapters.postgres.session.connection import Connection, scalar
from strangler.adapters.postgres.tables.catalog import Table
from strangler.domain.findings import Estimate

SAMPLE_ROWS = 20_000
SAMPLE_BYTES = 16 * 1024 * 1024
INDEX_ROWS_PER_SECOND = 1_000_000.0  # where no row could be sampled
SIZES = """
SELECT c.oid, pg_table_size(c.oid), pg_indexes_size(c.oid), pg_relation_size(c.oid), c.reltuples::bigint,
       (SELECT count(*) FROM pg_index x WHERE x.indrelid = c.oid)
FROM pg_class c WHERE c.oid = ANY (%s::oid[]) AND c.relkind = 'r'
"""
# The server counts the rows of a table at its first ANALYZE, which a restored database has not seen. Until then: the
# size of some rows as they are kept, with the pointer to each.
SOME_ROWS = 100
WIDTH_BY_ROWS = "SELECT count(*), avg(pg_column_size(one.*)) + 4 FROM (SELECT * FROM {} LIMIT {}) one"
# Since the statistics were reset: what everything on that server writes, on average.
WAL_RATE = """
SELECT (wal_bytes / greatest(extract(epoch FROM clock_timestamp() - stats_reset), 1))::float8 FROM pg_stat_wal
"""
SAMPLE = "strangler_sample"


def estimate(both: Both) -> Estimate:
    """Reads at most `SAMPLE_ROWS` rows of the largest table, and writes them to a temporary table of the service.

    Raises:
        psycopg.Error: the tool's role may not read the table, or may not make a temporary one.
    """
    leaves = {table.oid: table for table in both.here if not table.partitioned}
    heap, indexes, rows, entries = 0, 0, 0, 0
    largest: tuple[int, Table, int] | None = None
    for oid, size, of_indexes, main, counted, number in both.monolith.execute(SIZES, (list(leaves),)).fetchall():
        of_table = counted if counted >= 0 else _rows(both.monolith, leaves[oid], main)
        heap, indexes = heap + size, indexes + of_indexes
        rows, entries = rows + of_table, entries + of_table * number
        if largest is None or size > largest[0]:
            largest = (size, leaves[oid], of_table)
    sample = _Sample(both.monolith, both.service)
    if largest is not None:
        size, table, of_table = largest
        peer = next((one for one in both.there if one.name == table.name), None)
        sample.take(table, peer, width=size // max(of_table, 1))
    copy_seconds = heap / sample.bytes_per_second if sample.bytes else 0.0
    index_seconds = entries / sample.entries_per_second
    verify_seconds = rows / sample.hashed_per_second if sample.bytes else 0.0
    total_seconds = copy_seconds + index_seconds
    return Estimate(
        rows=rows,
        copy_seconds=round(copy_seconds, 1),
        index_seconds=round(index_seconds, 1),
        verify_seconds=round(verify_seconds, 1),
        disk_bytes=heap + indexes,
        wal_bytes=heap + indexes,
        retained_bytes=int((scalar(both.monolith, WAL_RATE) or 0.0) * total_seconds),
        sampled_rows=sample.rows,
    )


def _rows(connection: Connection, table: Table, size: int) -> int:
    """About how many rows a table of ``size`` bytes has, of which the server has not counted any yet."""
    row = connection.execute(sql.SQL(WIDTH_BY_ROWS).format(table.sql(), SOME_ROWS)).fetchone()
    assert row is not None
    some, width = row
    return int(size / width) if some == SOME_ROWS else int(some)


class _Sample:
    """Rows of one table, copied and hashed as a start and a verify do it."""

    def __init__(self, monolith: Connection, service: Connection) -> None:
        self._monolith, self._service = monolith, service
        self.rows = 0
        self.bytes = 0
        self.bytes_per_second = 1.0
        self.entries_per_second = INDEX_ROWS_PER_SECOND
        self.hashed_per_second = 1.0

    def take(self, table: Table, peer: Table | None, *, width: int) -> None:
        columns = sql.SQL(", ").join(sql.Identifier(name) for name in table.written)
        limit = max(1, min(SAMPLE_ROWS, SAMPLE_BYTES // max(width, 1)))
        some = sql.SQL("SELECT {} FROM {} LIMIT {}").format(columns, table.sql(), limit)
        began = time.perf_counter()
        with closing(BytesIO()) as kept:
            with self._monolith.cursor().copy(sql.SQL("COPY ({}) TO STDOUT").format(some)) as out:
                for part in out:
                    kept.write(part)
                    self.rows += bytes(part).count(b"\n")
            text = kept.getvalue()
        self.bytes = len(text)
        if not self.bytes:
            return
        hashing = sql.SQL("SELECT count(hashtextextended(s::text, 0)) FROM ({}) s").format(some)
        hashed = time.perf_counter()
        scalar(self._monolith, hashing)
        self.hashed_per_second = self.rows / max(time.perf_counter() - hashed, 1e-6)  # both sides at once
        if peer is not None:
            self._write(peer, columns, text, table.key)
            self.bytes_per_second = self.bytes / max(time.perf_counter() - began, 1e-6)

    def _write(self, peer: Table, columns: sql.Composed, text: bytes, key: Sequence[str]) -> None:
        name = sql.Identifier("pg_temp", SAMPLE)
        with self._service.transaction(force_rollback=True):
            self._service.execute(sql.SQL("CREATE TEMPORARY TABLE {} (LIKE {})").format(name, peer.sql()))
            with self._service.cursor().copy(sql.SQL("COPY {} ({}) FROM STDIN").format(name, columns)) as into:
                into.write(text)
            began = time.perf_counter()
            parts = sql.SQL(", ").join(sql.Identifier(column) for column in key)
            self._service.execute(sql.SQL("CREATE INDEX ON {} ({})").format(name, parts))
            self.entries_per_second = self.rows / max(time.perf_counter() - began, 1e-6)
