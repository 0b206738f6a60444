"""The rows of the outbox: an application writes them with its changes; the relays read them and take them away.

Note "the echo of a wake-up": NOTIFY takes a global lock at commit, so a process sends one at most every
`WAKE_SECONDS`, and never from within the transaction that writes the message. A message that is committed shortly after
the last NOTIFY has none of its own. So a relay that hears a NOTIFY, or finds a message, looks once more after `ECHO`.

Note "planned for the present size": a relay asks the same things many times a second, so its statements are prepared.
But a plan that was made for an empty outbox is wrong for a full one. So plans are forgotten every `PLANNED_SECONDS`,
and what is read from a backlog, beside rows that are known already, is planned each time with their number.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple
from uuid import UUID
from zlib import crc32

import psycopg
from django.db import connection, transaction

from chassis import agreement
from chassis.models import OutboxMessage

LANES = 16
CHANNEL = "chassis_outbox"
WAKE_SECONDS = 0.005
ECHO = 2 * WAKE_SECONDS
PLANNED_SECONDS = 1.0
# Rows that a crash of the server gives back are published again, as after any crash of a relay.
SOON = "SET synchronous_commit = off"

_waking = threading.Lock()
_woken = float("-inf")

# A row waits when a row of the same key before it could not be published.
READY = """
SELECT id, message_id::text, capability, type, key, destination, body, {has_sides} FROM chassis_outbox waiting
WHERE lane = ANY(%s::smallint[]) AND id <> ALL(%s::bigint[]){unheld}
  AND (retry_at IS NULL OR retry_at <= clock_timestamp())
  AND NOT EXISTS (
    SELECT FROM chassis_outbox before
    WHERE before.capability = waiting.capability AND before.key = waiting.key AND before.id < waiting.id
      AND before.retry_at > clock_timestamp())
ORDER BY id LIMIT {limit}
"""
ANYWHERE = {"has_sides": agreement.HAS_SIDES.removeprefix("SELECT "), "unheld": ""}
# One statement sees one moment: where it sees an event of a side that holds its events, it also sees the hold.
WITH_SIDES = {"has_sides": "true", "unheld": f" AND capability NOT IN ({agreement.EVENTS_HELD})"}
DONE = """
WITH gone AS (DELETE FROM chassis_outbox WHERE id = ANY(%s::bigint[]) RETURNING *)
INSERT INTO chassis_published (id, message_id, capability, type, key, destination, lane, body, created_at, attempts,
                               error, retry_at, published_at)
SELECT id, message_id, capability, type, key, destination, lane, body, created_at, attempts,
       error, retry_at, clock_timestamp()
FROM gone WHERE destination = '' ON CONFLICT DO NOTHING
"""
PUT_OFF = """
UPDATE chassis_outbox SET attempts = attempts + 1, error = note,
       retry_at = clock_timestamp() + make_interval(secs => least(60, 0.5 * power(2, least(attempts, 10))))
FROM unnest(%s::bigint[], %s::text[]) AS problem (number, note) WHERE id = number
"""


class Waiting(NamedTuple):
    """A row that may be published now."""

    id: int
    message_id: str
    capability: str
    type: str
    key: str
    destination: str
    body: bytes


def lane_of(capability: str, key: str) -> int:
    """The lane in which the order of this key is kept."""
    return crc32(f"{capability}/{key}".encode()) % LANES


def add(*, message_id: UUID, capability: str, type: str, key: str, destination: str, body: bytes) -> None:
    """Puts a message into the outbox, in the caller's transaction; a message that waits there already is not doubled.

    Raises:
        RuntimeError: outside a transaction, where the message could tell of a change that is never committed.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("a message is put into the outbox outside a transaction: use transaction.atomic()")
    row = OutboxMessage(
        message_id=message_id,
        capability=capability,
        type=type,
        key=key,
        destination=destination,
        lane=lane_of(capability, key),
        body=body,
    )
    OutboxMessage.objects.bulk_create([row], ignore_conflicts=True)
    if connection.vendor == "postgresql":
        transaction.on_commit(_wake, robust=True)


class Rows:
    """The rows that may be published, over Django's session of this thread; a new session needs new ones.

    Methods raise psycopg's errors.
    """

    def __init__(self) -> None:
        # The first move makes the sides' table, perhaps while a relay runs.
        self._has_sides = False
        self._planned = float("-inf")

    def ready(self, lanes: Collection[int], limit: int, *, without: Collection[int] = ()) -> list[Waiting]:
        """The oldest rows of these lanes that may be published, but not those whose ids are known already.

        The events of a capability wait as long as its side holds them: until the previous owner's are published.
        """
        rows = self._read(lanes, limit, without)
        if rows and rows[0][-1] and not self._has_sides:
            self._has_sides = True
            rows = self._read(lanes, limit, without)
        return [Waiting(*row[:-1]) for row in rows]

    def done(self, ids: Sequence[int]) -> None:
        """Takes confirmed messages away; events are kept as published messages."""
        if ids:
            self._execute(DONE, [list(ids)])

    def put_off(self, problems: Mapping[int, str]) -> None:
        """Notes why messages could not be published; each is tried again later, and holds up only its own key."""
        if problems:
            self._execute(PUT_OFF, [list(problems), [note[:500] for note in problems.values()]])

    def _read(self, lanes: Collection[int], limit: int, without: Collection[int]) -> list[Any]:
        asked = READY.format(limit=limit, **(WITH_SIDES if self._has_sides else ANYWHERE))
        return self._execute(asked, [list(lanes), list(without)], prepare=not without).fetchall()

    def _execute(self, statement: str, values: Sequence[Any], *, prepare: bool = True) -> psycopg.Cursor[Any]:
        """See the note "planned for the present size"."""
        connection.ensure_connection()
        session: psycopg.Connection[Any] = connection.connection
        if time.monotonic() - self._planned > PLANNED_SECONDS:
            session.prepare_threshold = 0
            session.execute("DISCARD PLANS")
            self._planned = time.monotonic()
        # Django's own cursors put the values into the text, which would be another statement each time.
        return psycopg.Cursor(session).execute(statement.encode(), values, prepare=prepare)


class Taking:
    """Does `Rows.done` in a thread and a session of its own."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="chassis-taking")
        self._rows: Rows | None = None

    def begin(self, ids: Sequence[int]) -> Future[None]:
        """Returns at once; the future has the error, if there is one."""
        return self._thread.submit(self._take, ids)

    def close(self) -> None:
        """Ends the session, when what was begun is done."""
        self._thread.submit(connection.close)
        self._thread.shutdown(wait=True)

    def _take(self, ids: Sequence[int]) -> None:
        if self._rows is None:
            with connection.cursor() as cursor:
                cursor.execute(SOON)
            self._rows = Rows()
        self._rows.done(ids)


def backlog() -> tuple[int, float]:
    """How many rows there are, and the age of the oldest in seconds."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)::float8 "
            "FROM chassis_outbox"
        )
        rows, age = cursor.fetchone()
        return rows, age


def _wake() -> None:
    """See the note "the echo of a wake-up"."""
    global _woken  # noqa: PLW0603
    with _waking:
        now = time.monotonic()
        if now - _woken < WAKE_SECONDS:
            return
        _woken = now
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, '')", (CHANNEL,))
