"""How many passwords a process hashes at a time.

A hash of a million rounds computes for half a second and more. Sixteen logins at once would have every place at work,
and every processor, for seconds, and whoever only reads would wait behind them. So hashing has places of its own: few,
so that processors are left for others, and with a queue that has an end, for whoever stands in it keeps a thread.

Note "hash outside": a request that hashes gives its place at work to another meanwhile. It cannot within a transaction
(see chassis.admission), so views that hash do so before their transaction begins. Of those that cannot, one waits and
the others are refused: more would keep all places at work.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection
from prometheus_client import Counter, Gauge

from chassis import admission, options, waiting
from chassis.errors import Busy

WAITING = Gauge("chassis_hashing_waiting", "Passwords that wait to be hashed.", multiprocess_mode="livesum")
REFUSED = Counter("chassis_hashing_refused_total", "Passwords that were not hashed: too many waited.")

PATIENCE = 20.0  # seconds: less than the gateway waits for an answer
RETRY_AFTER = 2  # seconds
IN_TRANSACTIONS = 1


class Hashing:
    """``places`` hashes at a time; up to ``queue`` wait for theirs, first come, first served, ``patience`` seconds."""

    def __init__(self, places: int, queue: int, patience: float = PATIENCE) -> None:
        self._lock = threading.Lock()
        self._free = places
        self._most = queue
        self._patience = patience
        self._queue: deque[threading.Lock] = deque()
        self._bound = 0

    @contextmanager
    def place(self) -> Iterator[None]:
        """Waits for a place and keeps it; others take this thread's place at work meanwhile. Raises Busy."""
        with admission.aside():
            self._enter(bound=connection.in_atomic_block)
            try:
                yield
            finally:
                self._leave()

    def _enter(self, *, bound: bool) -> None:
        with self._lock:
            if self._free:
                self._free -= 1
                return
        try:
            with waiting.process.one("passwords"):
                self._queue_up(bound=bound)
        except waiting.Full:
            REFUSED.inc()
            raise Busy("Too many passwords are being checked; try again.", wait=RETRY_AFTER) from None

    def _queue_up(self, *, bound: bool) -> None:
        turn = threading.Lock()
        with self._lock:
            if self._free:
                self._free -= 1
                return
            if len(self._queue) >= self._most or (bound and self._bound >= IN_TRANSACTIONS):
                REFUSED.inc()
                raise Busy("Too many passwords are being checked; try again.", wait=RETRY_AFTER)
            turn.acquire()
            self._queue.append(turn)
            self._bound += bound
        try:
            with WAITING.track_inprogress():
                self._await(turn)
        finally:
            with self._lock:
                self._bound -= bound

    def _await(self, turn: threading.Lock) -> None:
        # Whoever leaves gives the place to this thread by letting go of its lock.
        if turn.acquire(timeout=self._patience):
            return
        with self._lock:
            if turn not in self._queue:
                return  # it has been given just now
            self._queue.remove(turn)
        REFUSED.inc()
        raise Busy("Too many passwords are being checked; try again.", wait=RETRY_AFTER)

    def _leave(self) -> None:
        with self._lock:
            if self._queue:
                self._queue.popleft().release()
            else:
                self._free += 1


process = Hashing(options.hashing_places(), options.hashing_queue())
