"""How many passwords a process hashes at a time.

A hash of a million rounds computes for half a second and more. Sixteen logins at once would take every place at work,
and every processor, for seconds, and requests that only read would wait behind them. So hashing has places of its own.
They are few, so that processors are left for others. Their queue has an end, because each request in it keeps a thread.

Note "hash outside": a request that hashes gives its place at work to another meanwhile. It cannot do so within a
transaction (see chassis.process.admission), so views that hash do so before their transaction begins. Some requests
hash within one all the same: one of them waits and the others are refused, because more would keep all places at work.

Note "one queue": one client with many logins would fill the whole queue, and the logins of others would wait behind
them. So the clients (`chassis.process.clients`) take turns. Where the queue is full, a new login takes the place of the
last login of the client that has the most. A client that is alone may have the whole queue.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection
from prometheus_client import Counter, Gauge

from chassis import settings
from chassis.process import admission, clients, waiting
from chassis.rest.errors import Busy

WAITING = Gauge("chassis_hashing_waiting", "Passwords that wait to be hashed.", multiprocess_mode="livesum")
REFUSED = Counter("chassis_hashing_refused_total", "Passwords that were not hashed: too many waited.")

PATIENCE_SECONDS = 20.0  # less than the gateway waits for an answer
RETRY_AFTER_SECONDS = 2
IN_TRANSACTIONS = 1


class Ticket:
    """Stands for one waiting thread. The lock is released when the place is given to the thread, or when the thread has
    to make room."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.lock.acquire()
        self.displaced = False


class Hashing:
    """``places`` hashes at a time; up to ``queue`` threads wait for a place, for ``patience`` seconds. The clients take
    turns; within a client it is first come, first served. See the note "one queue"."""

    def __init__(self, places: int, queue: int, patience: float = PATIENCE_SECONDS) -> None:
        self._lock = threading.Lock()
        self._free = places
        self._most = queue
        self._patience = patience
        self._queues: OrderedDict[str, deque[Ticket]] = OrderedDict()  # the client whose turn is next stands first
        self._bound = 0

    @contextmanager
    def place(self) -> Iterator[None]:
        """Waits for a place and keeps it; other threads use this thread's place at work meanwhile. Raises Busy."""
        with admission.aside():
            self._enter(clients.present(), bound=connection.in_atomic_block)
            try:
                yield
            finally:
                self._leave()

    def _enter(self, client: str, *, bound: bool) -> None:
        with self._lock:
            if self._free:
                self._free -= 1
                return
        try:
            with waiting.process.one("passwords"):
                ticket = self._queue_up(client, bound=bound)
                if ticket is not None:
                    self._await(client, ticket, bound=bound)
        except waiting.Full:
            raise _refusal() from None

    def _queue_up(self, client: str, *, bound: bool) -> Ticket | None:
        """The place in the queue; None where a place to hash is free by now. Raises Busy."""
        with self._lock:
            if self._free:
                self._free -= 1
                return None
            if bound and self._bound >= IN_TRANSACTIONS:
                raise _refusal()
            if sum(map(len, self._queues.values())) >= self._most and not self._make_room(client):
                raise _refusal()
            ticket = Ticket()
            self._queues.setdefault(client, deque()).append(ticket)
            self._bound += bound
            return ticket

    def _make_room(self, client: str) -> bool:
        """Removes the last ticket of the client that has the most, if that client then still has no fewer than this
        one."""
        most = max(self._queues, key=lambda each: len(self._queues[each]), default=client)
        if len(self._queues.get(most, ())) <= len(self._queues.get(client, ())) + 1:
            return False
        displaced = self._queues[most].pop()
        displaced.displaced = True
        displaced.lock.release()
        return True

    def _await(self, client: str, ticket: Ticket, *, bound: bool) -> None:
        try:
            with WAITING.track_inprogress():
                in_time = ticket.lock.acquire(timeout=self._patience)
        finally:
            with self._lock:
                self._bound -= bound
        if not in_time:
            with self._lock:
                queue = self._queues.get(client, deque())
                if ticket not in queue:
                    in_time = True  # it has been given just now
                else:
                    queue.remove(ticket)
                    if not queue:
                        del self._queues[client]
        if ticket.displaced or not in_time:
            raise _refusal()

    def _leave(self) -> None:
        with self._lock:
            if not self._queues:
                self._free += 1
                return
            client, queue = self._queues.popitem(last=False)
            queue.popleft().lock.release()
            if queue:
                self._queues[client] = queue


def _refusal() -> Busy:
    REFUSED.inc()
    return Busy("Too many passwords are being checked; try again.", wait=RETRY_AFTER_SECONDS)


process = Hashing(settings.hashing_places(), settings.hashing_queue())
