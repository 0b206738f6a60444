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
SELECT coalesce(sum(pg_table_size(c.oid)), 0)::bigint, coalesce(sum(pg_indexes_size(c.oid)), 0)::bigint,
       coalesce(sum(greatest(c.reltuples, 0)), 0)::bigint, coalesce(sum(greatest(c.reltuples, 0) * (
           SELECT count(*) FROM pg_index x WHERE x.indrelid = c.oid)), 0)::bigint
FROM pg_class c WHERE c.oid = ANY (%s::oid[]) AND c.relkind = 'r'
"""
# Since the statistics were reset: what everything on that server writes, on average.
WAL_RATE = """
SELECT (wal_bytes / greatest(extract(epoch FROM clock_timestamp() - stats_reset), 1))::float8 FROM pg_stat_wal
"""
WIDTH = "SELECT pg_table_size(oid) / greatest(reltuples, 1) FROM pg_class WHERE oid = %s"
SAMPLE = "strangler_sample"


def estimate(both: Both) -> Estimate:
    """Reads at most `SAMPLE_ROWS` rows of the largest table, and writes them to a temporary table of the service.

    Raises:
        psycopg.Error: the tool's role may not read the table, or may not make a temporary one.
    """
    leaves = [table for table in both.here if not table.partitioned]
    row = both.monolith.execute(SIZES, ([table.oid for table in leaves],)).fetchone()
    assert row is not None
    heap, indexes, rows, entries = row
    sample = _Sample(both.monolith, both.service)
    largest = max(leaves, key=lambda table: table.estimate, default=None)
    if largest is not None:
        sample.take(largest, next((one for one in both.there if one.name == largest.name), None))
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


class _Sample:
    """Rows of one table, copied and hashed as a start and a verify do it."""

    def __init__(self, monolith: Connection, service: Connection) -> None:
        self._monolith, self._service = monolith, service
        self.rows = 0
        self.bytes = 0
        self.bytes_per_second = 1.0
        self.entries_per_second = INDEX_ROWS_PER_SECOND
        self.hashed_per_second = 1.0

    def take(self, table: Table, peer: Table | None) -> None:
        columns = sql.SQL(", ").join(sql.Identifier(name) for name in table.written)
        width = int(scalar(self._monolith, WIDTH, table.oid) or 0)
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
