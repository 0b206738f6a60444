"""Limits how many threads of a process only wait.

Note "some remain": a thread that waits (for a client, an owner, a peer, its turn) works on nothing, and is not there
for requests that could be answered at once: health, reads, what does not move. So all waiting threads are counted in
one place, whatever they wait for. At most half of the threads wait for one kind of thing, so that no kind takes what
the others need; at most three quarters wait in all. A request that comes then is refused, and the refusal says when to
come again.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Literal

from chassis import settings

if TYPE_CHECKING:
    from prometheus_client import Counter as PrometheusCounter

Kind = Literal["bodies", "answers", "owners", "peers", "passwords"]


@cache
def refused() -> PrometheusCounter:
    """It is not made with the module: gunicorn's master imports the module before it says where samples are kept."""
    from prometheus_client import Counter

    return Counter(
        "chassis_waiting_refused_total", "Waits that were not begun, as too many threads waited already.", ["kind"]
    )


class Full(Exception):  # noqa: N818  a state of the process, not a fault
    """So many threads wait that the rest is needed for other requests."""


class Waiting:
    """See the note "some remain". A thread that is counted already is not counted again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[Kind] = Counter()
        self._mine = threading.local()

    def begin(self, kind: Kind) -> bool:
        """Whether this thread may wait; `end` says that it no longer waits."""
        if self._kind is not None:
            return True
        if not self._count(kind):
            return False
        self._mine.kind = kind
        return True

    def begin_anywhere(self, kind: Kind) -> Callable[[], None] | None:
        """As `begin`, for a wait that may end in another thread: returns what ends it, or None where it may not be."""
        if not self._count(kind):
            return None
        ended = threading.Event()

        def end() -> None:
            with self._lock:
                if not ended.is_set():
                    ended.set()
                    self._counts[kind] -= 1

        return end

    def end(self) -> None:
        """The thread no longer waits; no error where it did not wait."""
        kind = self._kind
        if kind is not None:
            self._mine.kind = None
            with self._lock:
                self._counts[kind] -= 1

    def _count(self, kind: Kind) -> bool:
        with self._lock:
            if self._counts[kind] >= settings.hold_limit() or self._counts.total() >= settings.wait_limit():
                refused().labels(kind).inc()
                return False
            self._counts[kind] += 1
            return True

    @contextmanager
    def one(self, kind: Kind) -> Iterator[None]:
        """Waits inside. Raises Full."""
        if self._kind is not None:
            yield
            return
        if not self.begin(kind):
            raise Full
        try:
            yield
        finally:
            self.end()

    def count(self, kind: Kind) -> int:
        """How many threads wait for that kind of thing."""
        with self._lock:
            return self._counts[kind]

    @property
    def _kind(self) -> Kind | None:
        kind: Kind | None = getattr(self._mine, "kind", None)
        return kind


process = Waiting()
