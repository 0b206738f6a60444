"""Counts that all processes of a side share, in the table ``chassis_count``: how often a client asked, or an account
was tried, in the present period. The period of a key begins with the first that is counted, and ends a fixed time
later.

Note "a session of its own": a count has to stay when the request's transaction is rolled back, must not be locked until
that transaction ends, and must be no write of the request, which the fence would look at. So each process counts in one
session beside Django's, where each statement is committed at once. The table is not logged, so no commit waits for a
disk. A server that has crashed, and a standby that takes over, begin with no counts.

Note "never fails": where the database cannot count, the process counts by itself, in its memory, with the same limits.
So nothing is refused because of that, and nobody may ask without a limit: it is one limit per process, for so long.
"""

from __future__ import annotations

import contextvars
import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

from django.db import DEFAULT_DB_ALIAS, Error, connections
from django.db.backends.base.base import NO_DB_ALIAS
from django.db.backends.signals import connection_created

from chassis import settings
from chassis.database.absence import is_outage
from chassis.process.logs import Complaint

logger = logging.getLogger("chassis.database.counts")

# One statement, and nothing of it read before it has the row: as many are counted as the limit says, however many ask.
COUNT = """
INSERT INTO chassis_count AS counted (key, number, ends_at)
VALUES (%s, 1, statement_timestamp() + make_interval(secs => %s))
ON CONFLICT (key) DO UPDATE SET
    number = CASE WHEN counted.ends_at <= statement_timestamp() THEN 1 ELSE counted.number + 1 END,
    ends_at = CASE WHEN counted.ends_at <= statement_timestamp() THEN excluded.ends_at ELSE counted.ends_at END
WHERE counted.ends_at <= statement_timestamp() OR counted.number < %s
RETURNING 0
"""
LEFT = "SELECT extract(epoch FROM ends_at - statement_timestamp())::float FROM chassis_count WHERE key = %s"
FORGET = "DELETE FROM chassis_count WHERE key = %s RETURNING 0"
TAKE_BACK = "UPDATE chassis_count SET number = number - 1 WHERE key = %s AND number > 0 RETURNING 0"
HAS = "SELECT 0 FROM chassis_count WHERE key = %s AND ends_at > statement_timestamp() AND number > 0"
PURGE = """
DELETE FROM chassis_count WHERE key IN (
    SELECT key FROM chassis_count WHERE ends_at <= statement_timestamp() LIMIT %s FOR UPDATE SKIP LOCKED)
RETURNING 0
"""
# A server's default may be stricter, and fail statements that wait for each other; nobody may wait for long.
SESSION = "SET default_transaction_isolation = 'read committed'; SET statement_timeout = '2s'"

# More rows go than can have come meanwhile, so no clock and no process of its own is needed for that.
PURGED_EVERY = 100  # counts
PURGED_ROWS = 1000
CONNECT_SECONDS = 2
WAIT_SECONDS = 2.0  # for the other threads of this process
PAUSE_SECONDS = 1.0  # after a failure, before the database is asked again
LEAST_SECONDS = 1.0  # that a client is told to wait
MOST_KEYS = 1 << 16  # in memory; some 20 MB


class Counts(Protocol):
    """Counts by key. What is counted is safe to count from many threads at once, and never raises."""

    def count(self, key: str, *, limit: int, seconds: float) -> float | None:
        """Counts one more and returns None, unless the key's present period, which lasts ``seconds``, has had ``limit``
        already: then it counts nothing and returns for how many seconds the period goes on."""

    def take_back(self, key: str) -> None:
        """Takes one back from the key's present period."""

    def forget(self, key: str) -> None:
        """Takes all back from the key's present period."""

    def has(self, key: str) -> bool:
        """Whether the key's present period has any."""


class MemoryCounts:
    """Counts of this process alone. There are at most ``most`` keys; new ones beyond that share one count, so that
    nobody drives a count out with other keys."""

    def __init__(self, most: int = MOST_KEYS, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._clock = most, clock
        self._lock = threading.Lock()
        self._counts: dict[str, tuple[int, float]] = {}  # how many, and when the period ends
        self._next_end = 0.0

    def count(self, key: str, *, limit: int, seconds: float) -> float | None:
        with self._lock:
            now = self._clock()
            key = self._place(key, now)
            number, ends_at = self._counts.get(key, (0, 0.0))
            if ends_at <= now:
                number, ends_at = 0, now + seconds
            if number >= limit:
                return max(LEAST_SECONDS, ends_at - now)
            self._counts[key] = (number + 1, ends_at)
            return None

    def take_back(self, key: str) -> None:
        with self._lock:
            number, ends_at = self._counts.get(key, (0, 0.0))
            if number:
                self._counts[key] = (number - 1, ends_at)

    def forget(self, key: str) -> None:
        with self._lock:
            self._counts.pop(key, None)

    def has(self, key: str) -> bool:
        with self._lock:
            number, ends_at = self._counts.get(key, (0, 0.0))
            return number > 0 and ends_at > self._clock()

    def clear(self) -> None:
        """Forgets all counts."""
        with self._lock:
            self._counts.clear()

    def _place(self, key: str, now: float) -> str:
        if key in self._counts or len(self._counts) < self._most:
            return key
        if self._next_end <= now:
            self._counts = {each: kept for each, kept in self._counts.items() if kept[1] > now}
            self._next_end = min((ends_at for _, ends_at in self._counts.values()), default=0.0)
        return key if len(self._counts) < self._most else ""


class DatabaseCounts:
    """Counts of all processes that have this database. See the notes "a session of its own" and "never fails"."""

    def __init__(self, otherwise: Counts) -> None:
        self._otherwise = otherwise
        self._lock = threading.Lock()
        self._session: Any = None
        self._failed = float("-inf")
        self._counted = 0
        self._complaint = Complaint(logger, "counts_not_shared")

    def count(self, key: str, *, limit: int, seconds: float) -> float | None:
        if limit < 1:
            return seconds
        rows = self._ask(COUNT, (key, seconds, limit))
        if rows is None:
            return self._otherwise.count(key, limit=limit, seconds=seconds)
        if rows:
            self._purge()
            return None
        rows = self._ask(LEFT, (key,))
        # The period may have ended meanwhile, and the row may have been purged.
        return max(LEAST_SECONDS, rows[0][0] if rows else 0.0)

    def take_back(self, key: str) -> None:
        if self._ask(TAKE_BACK, (key,)) is None:
            self._otherwise.take_back(key)

    def forget(self, key: str) -> None:
        if self._ask(FORGET, (key,)) is None:
            self._otherwise.forget(key)

    def has(self, key: str) -> bool:
        rows = self._ask(HAS, (key,))
        return self._otherwise.has(key) if rows is None else bool(rows)

    def close(self) -> None:
        """Closes the session; the next count opens another."""
        with self._lock:
            self._close()

    def _purge(self) -> None:
        self._counted += 1
        if self._counted % PURGED_EVERY == 0:
            self._ask(PURGE, (PURGED_ROWS,))

    def _ask(self, statement: str, values: Sequence[Any]) -> list[Any] | None:
        """The rows that the statement returns; None where it could not be run."""
        if time.monotonic() - self._failed < PAUSE_SECONDS or not self._lock.acquire(timeout=WAIT_SECONDS):
            return None
        try:
            # In a context of its own nobody who watches the request's statements sees these.
            rows: list[Any] = contextvars.Context().run(self._execute, statement, values)
        except Error as error:
            self._close()
            self._failed = time.monotonic()
            self._complaint.make(f"{type(error).__name__}: {error}".strip())
            return None
        else:
            self._complaint.over()
            return rows
        finally:
            self._lock.release()

    def _execute(self, statement: str, values: Sequence[Any]) -> list[Any]:
        if self._session is not None:
            try:
                return self._rows(statement, values)
            except Error as error:
                if not is_outage(error):
                    raise
                self._close()  # the server was restarted, perhaps long ago
        self._open()
        return self._rows(statement, values)

    def _rows(self, statement: str, values: Sequence[Any]) -> list[Any]:
        with self._session.cursor() as cursor:
            cursor.execute(statement, values)
            return list(cursor.fetchall())

    def _open(self) -> None:
        session = self._session = connections[DEFAULT_DB_ALIAS].copy()
        session.inc_thread_sharing()
        # A request may have the last connection of the pool, and would wait here for a second one.
        session.settings_dict["OPTIONS"].pop("pool", None)
        session.settings_dict["OPTIONS"]["connect_timeout"] = CONNECT_SECONDS
        with session.cursor() as cursor:
            cursor.execute(SESSION)

    def _close(self) -> None:
        if self._session is not None:
            with suppress(Error):
                self._session.close()
            self._session = None


memory = MemoryCounts()
database = DatabaseCounts(memory)


def shared() -> Counts:
    """Where this project counts, by ``CHASSIS_COUNTS``."""
    in_memory = settings.counts() == "process" or connections[DEFAULT_DB_ALIAS].vendor != "postgresql"
    return memory if in_memory else database


def _let_go(connection: Any, **_: Any) -> None:
    # Django connects so to drop the database of its tests, which it cannot do while somebody has a session there.
    if connection.alias == NO_DB_ALIAS:
        database.close()


connection_created.connect(_let_go)
