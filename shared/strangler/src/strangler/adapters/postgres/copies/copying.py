"""The first copy: ranges of every table, in parallel, all from the one exported snapshot."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql

from strangler.adapters.postgres.copies import piping
from strangler.adapters.postgres.copies.deferring import told
from strangler.adapters.postgres.copies.workers import Workers
from strangler.adapters.postgres.session.connection import Connection, connect, describe, own_origin, scalar, wait_until
from strangler.adapters.postgres.tables import acting
from strangler.adapters.postgres.tables.catalog import Table
from strangler.domain.errors import MoveError, RefusedError
from strangler.ports.side import StaleError

ENDING_SECONDS = 15.0  # after which a terminated session should be gone
RANGE_PAGES = 2048  # 16 MiB of heap per range: small enough for progress, large enough for COPY's speed
LEAST_PAGES = 256
PARTS = 48  # into which less is cut, so that no thread is left with a large part when the others have ended


@dataclass(frozen=True, slots=True)
class Range:
    """The rows of a table whose heap page is in [first, last); this works for any kind of key."""

    table: Table
    first: int
    last: int | None


Progress = Callable[[int, int], None]
"""Called with rows copied so far and the rows expected."""


def ranges(connection: Connection, tables: Sequence[Table]) -> list[Range]:
    """Cuts every table into ranges; the last range of each has no upper end, for pages that are made later."""
    size = "SELECT pg_relation_size(%s::regclass) / current_setting('block_size')::int"
    leaves = [(table, scalar(connection, size, table.qualified)) for table in tables if not table.partitioned]
    step = min(RANGE_PAGES, max(LEAST_PAGES, sum(pages for _, pages in leaves) // PARTS))
    found: list[Range] = []
    for table, pages in leaves:
        starts = list(range(0, max(pages, 1), step))
        found += [Range(table, first, last) for first, last in zip(starts, [*starts[1:], None], strict=True)]
    return found


def end_others(connection: Connection, capability: str) -> None:
    """Ends sessions of an earlier start that still work on the copy: they would hold their origins, and write.

    Raises:
        MoveError: when a session does not end.
    """
    theirs = (
        "FROM pg_stat_activity WHERE application_name = %s AND datname = current_database() AND pid <> pg_backend_pid()"
    )
    values = (f"strangler {purpose(capability)}",)
    connection.execute(f"SELECT pg_terminate_backend(pid) {theirs}", values)
    if not wait_until(connection, f"SELECT NOT EXISTS (SELECT {theirs})", values, within=ENDING_SECONDS, interval=0.01):
        raise MoveError(
            "an earlier start is still at work", place=describe(connection.info.dsn), remedy="end it and try again"
        )


def require_epoch(connection: Connection, capability: str, epoch: int) -> None:
    """Refuses to go on when the side is at another epoch or open; in a transaction it also keeps others from changing
    this.

    Raises:
        StaleError: the side is at another epoch or open.
    """
    query = "SELECT 1 FROM strangler.side WHERE capability = %s AND epoch = %s AND NOT open FOR SHARE"
    if not scalar(connection, query, capability, epoch):
        raise StaleError("another command has taken this move over", place=capability)


def purpose(capability: str) -> str:
    """The name by which a session that writes the copy is known."""
    return f"copy {capability}"


def empty(connection: Connection, tables: Sequence[Table]) -> None:
    """Deletes the rows that an earlier start left in the copy. By DELETE, for TRUNCATE fails at foreign keys from
    outside."""
    with connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")
        for table in tables:
            if not table.partitioned:
                acting.act(connection, table, sql.SQL("DELETE FROM {}").format(table.sql()))


def empty_closed(connection: Connection, capability: str, tables: Sequence[Table]) -> None:
    """The same if the side has a row and is closed; without a row the tables there are no copy any more.

    Raises:
        RefusedError: the side is open.
    """
    with connection.transaction():
        row = connection.execute("SELECT open FROM strangler.side WHERE capability = %s FOR SHARE", (capability,))
        found = row.fetchone()
        if found == (True,):
            raise RefusedError(
                "the side is open: what is there is no copy, and nothing of it is deleted",
                place=f"{capability}, {describe(connection.info.dsn)}",
                remedy="see `strangler status` for who owns it",
                id="side-open",
            )
        if found is not None:
            empty(connection, tables)


class Copy:
    """Copies ``work`` into the target's ``tables``, with one session per thread and side.

    Raises:
        StranglerError: the first error of any thread; the others stop at their next range.
    """

    def __init__(
        self,
        *,
        capability: str,
        source: str,
        target: str,
        snapshot: str,
        work: Sequence[Range],
        tables: Sequence[Table],
        progress: Progress,
    ) -> None:
        self.capability = capability
        self.source, self.target, self.snapshot = source, target, snapshot
        self.expected = sum({item.table.name: item.table.estimate for item in work}.values())
        self.rows = 0
        self.progress = progress
        self.tables = {table.name: table for table in tables}
        self._workers = Workers(work)
        self._lock = threading.Lock()

    def run(self, threads: int) -> int:
        """Returns the number of rows copied."""
        try:
            self._workers.run(threads, self._work, watch=lambda: self.progress(self.rows, self.expected))
        except (psycopg.Error, OSError) as error:
            raise MoveError(
                f"the copy failed: {told(error)}",
                place=f"{self.capability}, {describe(self.target)}",
                remedy="mend what the server says, and run start again: it begins anew",
            ) from error
        return self.rows

    def _work(self, number: int) -> None:
        with (
            connect(self.source, purpose=purpose(self.capability), idle_ms=0) as reader,
            connect(self.target, purpose=purpose(self.capability), idle_ms=0) as writer,
            own_origin(writer, self.capability, f"copy_{number}"),
        ):
            writer.execute("SET session_replication_role = replica")
            # A crash makes the copy begin anew; `flush` waits once for all that was written.
            writer.execute("SET synchronous_commit = off")
            reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            reader.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(self.snapshot)))
            for item in self._workers.items():
                self._copy(reader, writer, item)
            reader.execute("COMMIT")

    def _copy(self, reader: Connection, writer: Connection, item: Range) -> None:
        columns = sql.SQL(", ").join(map(sql.Identifier, item.table.written))
        low = sql.SQL("ctid >= {}").format(sql.Literal(f"({item.first},0)"))
        high = sql.SQL(" AND ctid < {}").format(sql.Literal(f"({item.last},0)")) if item.last else sql.SQL("")
        # ONLY: a partition is copied under its own name.
        select = sql.SQL("SELECT {} FROM ONLY {} WHERE {}{}").format(columns, item.table.sql(), low, high)
        table = self.tables[item.table.name]
        with writer.transaction():
            foreign = acting.runs_foreign(writer, table)
            into = acting.stage(writer, table) if foreign else table.sql()
            copied = piping.pipe(
                reader,
                select,
                writer,
                sql.SQL("{} ({})").format(into, columns),
                # A staged row is text where reading it could run an owner's code.
                binary=not foreign and piping.portable(reader, item.table, writer, table),
            )
            if foreign:
                acting.unstage(writer, table)
        with self._lock:
            self.rows += copied


def flush(dsn: str, capability: str, tables: Sequence[Table]) -> None:
    """Statistics and, at the same time, a checkpoint: only data on disk count as copied.

    Called after a synchronous commit that came after all of the copy's: without the right to checkpoint the rows are
    safe by that, for it has flushed the WAL of all commits before it.
    """
    checkpoint = sql.SQL("CHECKPOINT").format()
    workers = Workers([checkpoint, *(sql.SQL("ANALYZE {}").format(table.sql()) for table in tables)])

    def work(_: int) -> None:
        with connect(dsn, purpose=purpose(capability), idle_ms=0) as connection:
            for statement in workers.items():
                try:
                    connection.execute(statement)
                except psycopg.errors.InsufficientPrivilege:
                    if statement is not checkpoint:
                        raise

    workers.run(2, work)
