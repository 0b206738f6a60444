"""One side of a move: its row, its fences and its markers, as the coordinator changes them."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from uuid import UUID, uuid4

import psycopg

from strangler.adapters.postgres.schema import beats, markers, owners, swapping
from strangler.adapters.postgres.schema.outbox import Outbox
from strangler.adapters.postgres.session.connection import Connection, connect, describe, scalar
from strangler.adapters.postgres.tables import locks
from strangler.domain.errors import MoveError, StackError
from strangler.domain.move import SideRow
from strangler.domain.phase import State
from strangler.domain.position import Position
from strangler.ports.side import BlockedError, Blocker, LostError, Side, StaleError

# A column that an older version of the tool has not made is read without naming it in the query.
ROW = """
SELECT capability, side, epoch, open, prepared, bounce_to,
       coalesce((to_jsonb(s) ->> 'events_held')::boolean, false), to_jsonb(s) ->> 'ledger',
       coalesce(to_jsonb(s) -> 'reads', '{}')
FROM strangler.side s WHERE capability = %s
"""
READS = """
WITH moved AS (
    SELECT c.oid FROM strangler.side s, unnest(s.tables) t
    JOIN pg_class c ON c.oid = to_regclass(t) AND c.relkind = 'r' AND c.relreplident <> 'f' WHERE s.capability = %s
), scans AS (
    SELECT oid, pg_stat_get_lastscan(oid) AS at FROM moved
    UNION ALL
    SELECT indrelid, pg_stat_get_lastscan(indexrelid) FROM pg_index JOIN moved ON indrelid = oid
    WHERE NOT indisprimary AND NOT indisreplident
)
SELECT regexp_replace(oid::regclass::text, '^public[.]', ''), extract(epoch FROM clock_timestamp() - max(at))::float8
FROM scans GROUP BY oid HAVING max(at) IS NOT NULL ORDER BY 2
"""
UNUSED = """
WITH free AS (SELECT FROM strangler.used WHERE capability = %s FOR SHARE SKIP LOCKED)
SELECT CASE WHEN EXISTS (SELECT FROM free) THEN extract(epoch FROM clock_timestamp() - used_at)::float8 ELSE 0 END
FROM strangler.used WHERE capability = %s
"""
# The applications' middleware reads the column `pausing`. With it nothing is lost in a crash, so nobody waits for the
# disk; and nobody is woken by it, for on a busy machine those who are woken keep the fence waiting.
FENCE = """
BEGIN; SET LOCAL synchronous_commit = off;
UPDATE strangler.side SET pausing = true WHERE capability = %s AND open AND epoch = %s; COMMIT;
BEGIN; SET LOCAL synchronous_commit = off; SELECT strangler.close_side(%s, %s, %s); COMMIT;
SELECT strangler.mark(%s, %s)
"""
OPEN_DOOR = """
WITH opened AS (UPDATE strangler.side SET pausing = false WHERE capability = %s AND open AND epoch = %s RETURNING 1)
SELECT pg_notify('strangler_side', '') FROM opened
"""
BACKLOG_MS = 2000
WARM_MS = 2000  # less than the silence after which the server ends the session of the ledger
STALE = "SF002"  # SQLSTATE of a compare-and-set that was refused


class PostgresSide(Side):
    """The database of ``side`` for one capability, spoken to in one session.

    ``outbox`` is where its applications leave events, if they do. After the session was lost, the next use reconnects.
    """

    def __init__(self, capability: str, side: str, dsn: str, *, outbox: Outbox | None = None) -> None:
        self.capability = capability
        self.side = side
        self.dsn = dsn
        self.outbox = outbox
        self._connection: Connection | None = None

    @property
    def connection(self) -> Connection:
        """The session, opened when needed.

        Raises:
            LostError: when the server cannot be reached.
            PreflightError: something in the schema ``strangler`` there does not belong to the tool.
        """
        if self._connection is None or self._connection.closed:
            try:
                self._connection = owners.trusted(
                    connect(self.dsn, purpose=f"coordinate {self.capability}"), guest=True
                )
            except StackError as error:
                raise LostError(error.message, place=error.place, remedy=error.remedy) from error
        return self._connection

    @property
    def has_outbox(self) -> bool:
        """The configuration has named one."""
        return self.outbox is not None

    def hurry(self, seconds: float | None) -> None:
        """Cuts the connection: a server that stands still raises no timeout of its own."""
        if self._connection is not None:
            self._connection.end_within(seconds)

    def close(self) -> None:
        """The server rolls back what is open."""
        if self._connection is not None:
            self._connection.end_within(None)
            self._connection.close()
            self._connection = None

    def row(self) -> SideRow | None:
        """The row of ``strangler.side``."""
        if scalar(self.connection, "SELECT to_regclass('strangler.side')") is None:
            return None
        row = self.connection.execute(ROW, (self.capability,)).fetchone()
        return SideRow(*row) if row else None

    def adopt(self, ledger: str) -> None:
        """Only older versions of the tool have made rows without a ledger."""
        self.connection.execute(
            "UPDATE strangler.side SET ledger = %s WHERE capability = %s AND ledger IS NULL", (ledger, self.capability)
        )

    def warm(self) -> None:
        """Compiles the functions, plans the queries and reads the catalogue, for each session keeps its own."""
        self._locked("SELECT strangler.warm(%s)", (self.capability,), WARM_MS, what="the tables or their sequences")

    def fence(self, *, expected: int, target: int, statement_ms: int) -> tuple[UUID, dict[str, int]]:
        """Door, fence and marker in one round trip and three commits. Only the last one waits for the disk, which has
        the others, too, by then: the WAL is flushed in its order."""
        marker = uuid4()
        values = (self.capability, expected, self.capability, expected, target, self.capability, marker)
        try:
            cursor = self._locked(FENCE, values, statement_ms)
        except BaseException as error:
            self.drop_opening()
            if isinstance(error, BlockedError):
                self.connection.execute(OPEN_DOOR, (self.capability, expected))
            raise
        while cursor.nextset():
            pass
        row = cursor.fetchone()
        assert row is not None
        return marker, row[0]

    def reopen(self, *, target: int) -> None:
        """The same three; no locks and no triggers if the side is open already."""
        self._locked("SELECT strangler.lift_side(%s, %s)", (self.capability, target), 0)

    def begin_opening(self, *, target: int, statement_ms: int, hold_events: bool = False) -> None:
        """The same three in one round trip, without the commit."""
        query = "SELECT strangler.open_side(%s, %s, %s)"
        self._locked(query, (self.capability, target, hold_events), statement_ms, begin=True)

    def still_opening(self) -> None:
        """One round trip."""
        self._opening().execute("SELECT 1")

    def swap_ledger(self, *, frm: State, to: State, epoch: int, new_epoch: int, owner: str) -> bool:
        """In the session of the opening, and never in another session, which would commit it alone."""
        session = self._opening()
        return swapping.swap(
            session, self.capability, frm=frm, to=to, epoch=epoch, new_epoch=new_epoch, owner=owner, intent=None
        )

    def open(self) -> None:
        """In the session of the opening: a new session would have nothing to commit."""
        if self._opening().execute("COMMIT").statusmessage != "COMMIT":
            # COMMIT rolls back a transaction that has failed, without an error.
            raise self._gone()

    def drop_opening(self) -> None:
        """A session that has gone has rolled back already."""
        if self._connection is not None and not self._connection.closed:
            with suppress(psycopg.Error, LostError):
                self._connection.execute("ROLLBACK")

    def mark(self) -> tuple[UUID, dict[str, int]]:
        """Marker and positions in one round trip."""
        marker = uuid4()
        row = self.connection.execute("SELECT strangler.mark(%s, %s)", (self.capability, marker)).fetchone()
        assert row is not None
        return marker, row[0]

    def await_marker(self, marker: UUID, *, within: float) -> bool:
        """Asks every half millisecond."""
        return markers.arrives(self.connection, self.capability, marker, within=within)

    def prepare(self, *, target: int, positions: dict[str, int]) -> None:
        """One synchronous commit, which flushes all earlier WAL, too: the stream's own commits are asynchronous."""
        self._locked("SELECT strangler.prepare_side(%s, %s, %s)", (self.capability, target, json.dumps(positions)), 0)

    def backlog(self) -> int | None:
        """Counts the table's rows, for two seconds at most."""
        if self.outbox is None:
            return None
        connection = self.connection
        connection.execute("SELECT set_config('statement_timeout', %s, false)", (str(BACKLOG_MS),))
        try:
            return self.outbox.backlog(connection, self.capability)
        except locks.NOT_FREE as error:
            raise BlockedError(
                f"the outbox could not be read within {BACKLOG_MS} ms",
                place=f"{self.capability}, {describe(self.dsn)}",
                remedy="see who holds it (pg_locks)",
            ) from error

    def release_events(self, *, epoch: int) -> bool:
        """The relay reads the column."""
        released = self.connection.execute(
            "UPDATE strangler.side SET events_held = false WHERE capability = %s AND open AND epoch = %s",
            (self.capability, epoch),
        )
        return released.rowcount == 1

    def bounce(self, to: str | None, *, epoch: int) -> None:
        """The applications' middleware reads the column. Recovery writes it again if a crash of the server loses it, so
        nobody waits for the disk."""
        self.connection.execute(
            "UPDATE strangler.side SET bounce_to = %s WHERE capability = %s AND NOT open AND epoch <= %s "
            "AND set_config('synchronous_commit', 'off', true) IS NOT NULL",
            (to, self.capability, epoch),
        )
        if to is not None:
            self.connection.execute("SELECT strangler.note_use(%s)", (self.capability,))

    def unused(self) -> float | None:
        """The applications' middleware notes requests in ``strangler.used``."""
        found: float | None = scalar(self.connection, UNUSED, self.capability, self.capability)
        return found

    def reads(self) -> list[tuple[str, float]]:
        """By the server's statistics, which sessions report about once per second."""
        return self.connection.execute(READS, (self.capability,)).fetchall()

    def blockers(self) -> list[Blocker]:
        """By ``pg_locks``, in every mode that a fence waits for."""
        tables = scalar(self.connection, "SELECT tables FROM strangler.side WHERE capability = %s", self.capability)
        return locks.blockers(self.connection, tables or [])

    def vacuums(self) -> list[str]:
        """By ``pg_stat_progress_vacuum``."""
        rows = self.connection.execute(
            # Other databases of the server are vacuumed too, and may have tables of the same oid.
            "SELECT regexp_replace(p.relid::regclass::text, '^public[.]', '') FROM strangler.side s, "
            "unnest(s.tables) t JOIN pg_stat_progress_vacuum p ON p.relid = to_regclass(t) "
            "AND p.datname = current_database() WHERE s.capability = %s",
            (self.capability,),
        ).fetchall()
        return [row[0] for row in rows]

    def share_reads(self, terms: Mapping[str, object] | None, *, epoch: int) -> bool:
        """The applications' middleware reads the column with each request. A row of an older version has none, and
        nothing to take back."""
        if terms is None:
            row = self.row()
            if row is not None and row.reads:
                self.connection.execute(
                    "UPDATE strangler.side SET reads = '{}' WHERE capability = %s", (self.capability,)
                )
            return True
        changed = self.connection.execute(
            "UPDATE strangler.side SET reads = %s WHERE capability = %s AND epoch = %s",
            (json.dumps(terms), self.capability, epoch),
        )
        return changed.rowcount == 1

    def position(self, epoch: int) -> Position:
        """The end of what has been inserted into the WAL, flushed or not."""
        return beats.position(self.connection, epoch)

    def beat(self, epoch: int) -> None:
        """A marker whose id says the position."""
        beats.beat(self.connection, self.capability, epoch)

    def heard(self, epoch: int) -> tuple[Position, float] | None:
        """By the clocks of both servers."""
        return beats.newest(self.connection, self.capability, epoch)

    def deadlock_ms(self) -> int:
        """The server's ``deadlock_timeout``."""
        return locks.deadlock_ms(self.connection)

    def _opening(self) -> Connection:
        if self._connection is None or self._connection.closed:
            raise self._gone()
        return self._connection

    def _gone(self) -> LostError:
        return LostError("the session that held the tables is gone", place=self.capability)

    def _locked(
        self,
        query: str,
        values: tuple[Any, ...],
        statement_ms: int,
        *,
        begin: bool = False,
        what: str = "the tables",
    ) -> psycopg.Cursor[Any]:
        connection = self.connection
        started = time.monotonic()
        try:
            # One round trip: on a busy machine a round trip costs more than the work it asks for. Not a pipeline: the
            # message that psycopg sends at its end resets the server's idle_in_transaction_session_timeout.
            called = psycopg.ClientCursor(connection).mogrify(query, values)
            batch = f"{'BEGIN; ' if begin else ''}SET statement_timeout = {statement_ms:d}; {called}"
            return connection.execute(batch.encode(), prepare=False)
        except locks.NOT_FREE as error:
            raise BlockedError(
                f"{what} were not free within {time.monotonic() - started:.2f} s",
                place=f"{self.capability}, {describe(self.dsn)}",
                remedy="see who holds them (pg_locks), and run the command again",
            ) from error
        except psycopg.errors.NumericValueOutOfRange as error:
            # The gate has checked this, but numbers have been given out since.
            raise MoveError(
                f"a sequence cannot go on: {error.diag.message_primary}",
                place=f"{self.capability}, {describe(self.dsn)}",
                remedy="give it more room (ALTER SEQUENCE … MAXVALUE or MINVALUE)",
            ) from error
        except psycopg.Error as error:
            if error.diag.sqlstate != STALE:
                raise
            raise StaleError(
                error.diag.message_primary or str(error), place=f"{self.capability}, {describe(self.dsn)}"
            ) from error
