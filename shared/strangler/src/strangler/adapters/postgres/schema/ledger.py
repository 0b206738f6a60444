"""The ledger: which side owns each capability, at which epoch, and what is being done."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from strangler.adapters.postgres.schema import installing, owners, swapping
from strangler.adapters.postgres.schema.leases import Leases
from strangler.adapters.postgres.session.connection import Connection, connect, describe, scalar
from strangler.domain import names
from strangler.domain.errors import StackError
from strangler.domain.move import Entry, Identity, Move
from strangler.domain.phase import State, busy
from strangler.ports.ledger import Ledger
from strangler.ports.side import LostError, StaleError

LOCK_SECONDS = 3.0
STILL_MS = 3000
BEAT_SECONDS = 0.5
PAGE_ROWS = 1000

BEGIN = """
INSERT INTO strangler.move (capability, state, epoch, owner, intent)
VALUES (%(capability)s, 'starting',
        1 + coalesce((SELECT max(epoch) FROM strangler.history WHERE capability = %(capability)s), 0),
        'monolith', 'start')
ON CONFLICT (capability) DO UPDATE SET epoch = move.epoch + 1, facts = excluded.facts, changed_at = clock_timestamp()
WHERE move.state = 'starting'
"""
SELECT = "SELECT capability, state, epoch, owner, intent, step, facts, changed_at FROM strangler.move"
HISTORY = """
SELECT id, what, at, took_ms, details FROM strangler.history WHERE capability = %s AND id > %s ORDER BY id LIMIT %s
"""
ARCHIVED = "SELECT last_archived_time FROM pg_stat_archiver"
IDENTITY = "SELECT id::text, place = strangler.place() FROM strangler.ledger"
MAY_INSTALL = "SELECT pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE')"


class PostgresLedger(Ledger):
    """The schema ``strangler`` in the monolith's database, spoken to in one session.

    The lease of a coordinator belongs to this session, too: a coordinator that has lost its lease can no longer write.
    """

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self._connection: Connection | None = None
        self._leases: Leases | None = None

    @property
    def connection(self) -> Connection:
        """The session, opened when needed."""
        if self._connection is None or self._connection.closed:
            self._leases = None
            self._connection = owners.trusted(connect(self.dsn, purpose="ledger"), guest=True)
        return self._connection

    def install(self) -> None:
        """The schema's tables and functions; made by a role that may CREATE in the database."""
        if scalar(self.connection, MAY_INSTALL):
            installing.install_ledger(self.connection)
        elif not self.exists():
            raise StackError(
                "the ledger is not there yet, and this role may not make it",
                place=describe(self.dsn),
                remedy="start `strangler serve` by the role that moves, which makes the ledger: who waits goes on then",
            )

    def close(self) -> None:
        """A lease ends with its session."""
        self._leases = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def exists(self) -> bool:
        """Looks for the table of moves."""
        return scalar(self.connection, "SELECT to_regclass('strangler.move')") is not None

    def identity(self) -> Identity | None:
        """It is at home if the server and the database are those in which it was made."""
        if scalar(self.connection, "SELECT to_regclass('strangler.ledger')") is None:
            return None
        row = self.connection.execute(IDENTITY).fetchone()
        return Identity(row[0], row[1], describe(self.dsn)) if row else None

    def moves(self) -> list[Move]:
        """The rows of ``strangler.move``."""
        if not self.exists():
            return []
        return [_move(row) for row in self.connection.execute(SELECT + " ORDER BY capability").fetchall()]

    def move(self, capability: str) -> Move | None:
        """One of them."""
        if not self.exists():
            return None
        row = self.connection.execute(SELECT + " WHERE capability = %s", (capability,)).fetchone()
        return _move(row) if row else None

    @contextmanager
    def coordinating(self, capability: str) -> Iterator[None]:
        """A lease of this session. The server ends a session that is silent for ``STILL_MS``, because its process is
        stopped, swapped out or on a frozen machine; so recovery need not wait until it wakes."""
        # `strangler serve` takes it for a moment, once per second, to see whether there is anything to recover.
        deadline = time.monotonic() + LOCK_SECONDS
        while not self.try_lock(capability):
            if time.monotonic() >= deadline:
                raise busy(capability)
            time.sleep(0.01)
        over = threading.Event()
        beat = threading.Thread(target=self._beat, args=(self.connection, over), daemon=True)
        beat.start()
        try:
            self.connection.execute(f"SET idle_session_timeout = {STILL_MS}")
            yield
        finally:
            over.set()
            beat.join()
            self.unlock(capability)

    @staticmethod
    def _beat(connection: Connection, over: threading.Event) -> None:
        with suppress(psycopg.Error, LostError):
            while not over.wait(BEAT_SECONDS):
                connection.execute("SELECT 1")

    def try_lock(self, capability: str) -> bool:
        """A lease; a schema of an older version, which has no leases, is brought up to date first."""
        connection = self.connection
        if self._leases is None:
            owners.require_own(connection)
            self._leases = Leases(connection, f"{socket.gethostname()} {os.getpid()}")
        try:
            return self._leases.take(_lease(capability))
        except psycopg.errors.UndefinedTable:
            if not self.exists():
                return True
            self.install()
            return self._leases.take(_lease(capability))

    def unlock(self, capability: str) -> None:
        """A session that was lost has given its lease back already."""
        if self._connection is not None and not self._connection.closed and self._leases is not None:
            with suppress(psycopg.OperationalError, psycopg.errors.UndefinedTable, LostError):
                self._leases.give(_lease(capability))

    def begin(self, capability: str) -> Move:
        """The epoch follows the highest in the capability's history, or that of an earlier try."""
        self.connection.execute(BEGIN, {"capability": capability})
        move = self.move(capability)
        assert move is not None
        return move

    def swap(
        self,
        capability: str,
        *,
        frm: State,
        to: State,
        epoch: int,
        new_epoch: int | None = None,
        owner: str | None = None,
        intent: str | None = None,
    ) -> bool:
        """One statement."""
        return swapping.swap(
            self.connection,
            capability,
            frm=frm,
            to=to,
            epoch=epoch,
            new_epoch=epoch if new_epoch is None else new_epoch,
            owner=owner,
            intent=intent,
        )

    def note_step(self, capability: str, step: str, *, epoch: int) -> None:
        """One statement, which compares the epoch."""
        noted = self.connection.execute(
            "UPDATE strangler.move SET step = %s WHERE capability = %s AND epoch = %s", (step, capability, epoch)
        )
        if noted.rowcount != 1:
            raise StaleError("another command has taken this move over", place=capability)

    def learn(self, capability: str, **facts: object) -> None:
        """As JSON; times in ISO 8601."""
        self.connection.execute(
            "UPDATE strangler.move SET facts = facts || %s::jsonb WHERE capability = %s",
            (json.dumps(facts, default=_plain), capability),
        )

    def forget(self, capability: str) -> None:
        """The row alone."""
        self.connection.execute("DELETE FROM strangler.move WHERE capability = %s", (capability,))

    def record(
        self, capability: str, what: str, *, epoch: int | None = None, took_ms: float | None = None, **details: object
    ) -> None:
        """A row, with the role's name and the server's time."""
        self.connection.execute(
            "INSERT INTO strangler.history (capability, what, epoch, took_ms, details) VALUES (%s, %s, %s, %s, %s)",
            (capability, what, epoch, took_ms, json.dumps(details, default=_plain)),
        )

    def history(self, capability: str, *, after: int = 0) -> list[Entry]:
        """By the table's key, `PAGE_ROWS` at a time."""
        if not self.exists():
            return []
        rows = self.connection.execute(HISTORY, (capability, after, PAGE_ROWS)).fetchall()
        return [Entry(*row) for row in rows]

    def archived_at(self) -> datetime | None:
        """As the server's statistics have it, which every role may read."""
        found: datetime | None = scalar(self.connection, ARCHIVED)
        return found

    def agent_seen(self, agent: str, epochs: Mapping[str, int]) -> None:
        """One row per agent, with the server's time."""
        self.connection.execute(
            """INSERT INTO strangler.gateway (agent, epochs) VALUES (%s, %s)
               ON CONFLICT (agent) DO UPDATE SET epochs = excluded.epochs, seen_at = clock_timestamp()""",
            (agent, Jsonb(dict(epochs))),
        )

    def agent_gone(self, agent: str) -> None:
        """Removes its row, and those of agents that have vanished without saying so."""
        self.connection.execute(
            "DELETE FROM strangler.gateway WHERE agent = %s OR seen_at < clock_timestamp() - interval '1 day'", (agent,)
        )

    def agents(self, *, within: float) -> dict[str, dict[str, int]]:
        """By the server's clock."""
        rows = self.connection.execute(
            "SELECT agent, epochs FROM strangler.gateway WHERE seen_at > clock_timestamp() - make_interval(secs => %s)",
            (within,),
        ).fetchall()
        return dict(rows)

    def listen(self) -> None:
        """By LISTEN, which each new session has to repeat."""
        self.connection.execute(f"LISTEN {names.LEDGER_CHANNEL}")

    def await_change(self, *, within: float) -> bool:
        """The session keeps notifications that came while nobody waited."""
        heard = False
        for _ in self.connection.notifies(timeout=within, stop_after=1):
            heard = True
        return heard


def _lease(capability: str) -> str:
    return f"move {capability}"


def _move(row: tuple[Any, ...]) -> Move:
    capability, state, epoch, owner, intent, step, facts, changed_at = row
    return Move(capability, State(state), epoch, owner, intent, step, facts, changed_at)


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else str(value)
