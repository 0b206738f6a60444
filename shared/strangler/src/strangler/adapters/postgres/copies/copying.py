"""The first copy: ranges of every table, in parallel, all from the one exported snapshot."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import psycopg
from psycopg import sql

from strangler.adapters.postgres.session.connection import Connection, connect, describe, own_origin, scalar, wait_until
from strangler.adapters.postgres.tables import acting
from strangler.adapters.postgres.tables.catalog import Table
from strangler.domain.errors import MoveError, RefusedError, StranglerError
from strangler.ports.side import StaleError

ENDING_SECONDS = 15.0  # after which a terminated session should be gone
RANGE_PAGES = 2048  # 16 MiB of heap per range: small enough for progress, large enough for COPY's speed


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
    found: list[Range] = []
    for table in tables:
        if table.partitioned:
            continue
        pages = scalar(
            connection,
            "SELECT pg_relation_size(%s::regclass) / current_setting('block_size')::int",
            table.qualified,
        )
        starts = list(range(0, max(pages, 1), RANGE_PAGES))
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
    """Copies ``work`` into the target's ``tables`` with ``workers`` threads, with one session per thread and side.

    Raises:
        StranglerError: the first error of any worker; the others stop at their next range.
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
        self._work: queue.SimpleQueue[Range] = queue.SimpleQueue()
        for item in work:
            self._work.put(item)
        self._lock = threading.Lock()
        self._failure: BaseException | None = None

    def run(self, workers: int) -> int:
        """Returns the number of rows copied."""
        threads = [threading.Thread(target=self._worker, args=(number,)) for number in range(workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(0.5)
                self.progress(self.rows, self.expected)
        if isinstance(self._failure, StranglerError):
            raise self._failure
        if self._failure is not None:
            raise MoveError(
                f"the copy failed: {told(self._failure)}",
                place=f"{self.capability}, {describe(self.target)}",
                remedy="mend what the server says, and run start again: it begins anew",
            ) from self._failure
        return self.rows

    def _worker(self, number: int) -> None:
        try:
            with (
                connect(self.source, purpose=purpose(self.capability), idle_ms=0) as reader,
                connect(self.target, purpose=purpose(self.capability), idle_ms=0) as writer,
                own_origin(writer, self.capability, f"copy_{number}"),
            ):
                writer.execute("SET session_replication_role = replica")
                reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                reader.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(self.snapshot)))
                while self._failure is None:
                    try:
                        item = self._work.get_nowait()
                    except queue.Empty:
                        break
                    self._copy(reader, writer, item)
                reader.execute("COMMIT")
        except BaseException as error:  # noqa: BLE001  the thread's error is raised in run()
            self._failure = self._failure or error

    def _copy(self, reader: Connection, writer: Connection, item: Range) -> None:
        columns = sql.SQL(", ").join(map(sql.Identifier, item.table.written))
        low = sql.SQL("ctid >= {}").format(sql.Literal(f"({item.first},0)"))
        high = sql.SQL(" AND ctid < {}").format(sql.Literal(f"({item.last},0)")) if item.last else sql.SQL("")
        # ONLY: a partition is copied under its own name.
        select = sql.SQL("COPY (SELECT {} FROM ONLY {} WHERE {}{}) TO STDOUT").format(
            columns, item.table.sql(), low, high
        )
        with reader.cursor() as source, writer.transaction(), writer.cursor() as target:
            table = self.tables[item.table.name]
            foreign = acting.runs_foreign(writer, table)
            into = acting.stage(writer, table) if foreign else table.sql()
            insert = sql.SQL("COPY {} ({}) FROM STDIN").format(into, columns)
            with source.copy(select) as rows, target.copy(insert) as sink:
                for block in rows:
                    sink.write(block)
            copied = target.rowcount
            if foreign:
                acting.unstage(writer, table)
        with self._lock:
            self.rows += copied


def put_off_indexes(connection: Connection, *, capability: str, tables: Sequence[Table]) -> None:
    """Removes secondary indexes and unique constraints from the copy, after noting how to put them back; a table at a
    time, so that it never holds one and waits for another."""
    for table in tables:
        with connection.transaction():
            for name, definition, drop in _secondary(connection, table):
                connection.execute(
                    "INSERT INTO strangler.deferred (capability, position, name, definition) "
                    "SELECT %s, count(*), %s, %s FROM strangler.deferred WHERE capability = %s "
                    "ON CONFLICT DO NOTHING",
                    (capability, name, definition, capability),
                )
                connection.execute(drop.encode())


def put_off(connection: Connection, *, capability: str) -> bool:
    """Whether the copy lacks something that a start will put back."""
    if scalar(connection, "SELECT to_regclass('strangler.deferred')") is None:
        return False
    query = "SELECT EXISTS (SELECT FROM strangler.deferred WHERE capability = %s)"
    return bool(scalar(connection, query, capability))


# The definition of an index does not say everything: the tablespace is set before it, and the rest after it. An index
# that this role could not make again in its tablespace stays.
SECONDARY = """
SELECT made.name,
       concat_ws('; ', (SELECT format('SET LOCAL default_tablespace = %%I', spcname) FROM pg_tablespace s
                        WHERE s.oid = i.reltablespace),
           CASE WHEN k.oid IS NULL THEN pg_get_indexdef(i.oid)
                ELSE format('ALTER TABLE %%s ADD CONSTRAINT %%I %%s',
                            %(table)s::text, k.conname, pg_get_constraintdef(k.oid)) END,
           (SELECT format('ALTER INDEX %%s SET (%%s)', made.name,
                          string_agg(format('%%I = %%L', option_name, option_value), ', '))
            FROM pg_options_to_table(i.reloptions) HAVING k.oid IS NOT NULL AND count(*) > 0),
           CASE WHEN x.indisclustered THEN format('ALTER TABLE %%s CLUSTER ON %%I', %(table)s::text, i.relname) END,
           (SELECT string_agg(format('ALTER INDEX %%s ALTER COLUMN %%s SET STATISTICS %%s', made.name, attnum,
                                     attstattarget), '; ')
            FROM pg_attribute WHERE attrelid = i.oid AND attstattarget >= 0),
           (SELECT string_agg(format('ALTER INDEX %%s DEPENDS ON EXTENSION %%I', made.name, e.extname), '; ')
            FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
            WHERE d.classid = 'pg_class'::regclass AND d.objid = i.oid AND d.deptype = 'x'),
           (SELECT format('COMMENT ON INDEX %%s IS %%L', made.name, told)
            FROM obj_description(i.oid, 'pg_class') told WHERE told <> ''),
           (SELECT format('COMMENT ON CONSTRAINT %%I ON %%s IS %%L', k.conname, %(table)s::text, told)
            FROM obj_description(k.oid, 'pg_constraint') told WHERE told <> '')),
       CASE WHEN k.oid IS NULL THEN format('DROP INDEX %%s', i.oid::regclass)
            ELSE format('ALTER TABLE %%s DROP CONSTRAINT %%I', %(table)s::text, k.conname) END
FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_namespace n ON n.oid = i.relnamespace
CROSS JOIN LATERAL (SELECT format('%%I.%%I', n.nspname, i.relname) AS name) made
LEFT JOIN pg_constraint k ON k.conindid = i.oid AND k.conrelid = x.indrelid AND k.contype IN ('u', 'x')
WHERE x.indrelid = %(table)s::regclass AND NOT x.indisprimary AND NOT x.indisreplident
  AND (i.reltablespace = 0 OR has_tablespace_privilege(i.reltablespace, 'CREATE'))
  AND NOT EXISTS (SELECT FROM pg_inherits h WHERE h.inhrelid = i.oid)
  AND NOT EXISTS (SELECT FROM pg_constraint f WHERE f.conindid = i.oid AND f.contype = 'f')
ORDER BY i.relname
"""


def _secondary(connection: Connection, table: Table) -> list[tuple[str, str, str]]:
    if table.partitioned:
        return []
    rows = connection.execute(SECONDARY, {"table": table.qualified}).fetchall()
    return [(row[0], row[1], row[2]) for row in rows]


def put_back_indexes(connection: Connection, *, capability: str) -> None:
    """Puts back what was removed, one thing at a time; a rerun goes on where it stopped.

    Raises:
        MoveError: a constraint does not hold for the rows; the error names it, and values.
    """
    rows = connection.execute(
        "SELECT name, definition FROM strangler.deferred WHERE capability = %s ORDER BY position",
        (capability,),
    ).fetchall()
    for name, definition in rows:
        try:
            with connection.transaction():
                connection.execute(definition.encode())
                done = "DELETE FROM strangler.deferred WHERE capability = %s AND name = %s"
                connection.execute(done, (capability, name))
        except psycopg.Error as error:
            raise MoveError(
                f"{name} does not hold for the copied rows: {told(error)}",
                place=f"{capability}, {describe(connection.info.dsn)}",
                remedy="mend those rows on the owner, then run start again",
                id="constraint-not-kept",
            ) from error


def told(error: BaseException) -> str:
    """The server's message, with the values and the table that it names."""
    if not isinstance(error, psycopg.Error) or error.diag.message_primary is None:
        return str(error) or type(error).__name__
    parts = [error.diag.message_primary, error.diag.message_detail, error.diag.context]
    table = f"table {error.diag.table_name}" if error.diag.table_name else None
    return "; ".join(part.splitlines()[0] for part in (*parts, table) if part)


def flush(connection: Connection, tables: Sequence[Table]) -> None:
    """Statistics and a checkpoint: only data on disk count as copied."""
    for table in tables:
        connection.execute(sql.SQL("ANALYZE {}").format(table.sql()))
    # Without the right to checkpoint the rows are safe, too: the synchronous commits of the copy have flushed its WAL.
    with suppress(psycopg.errors.InsufficientPrivilege):
        connection.execute("CHECKPOINT")
