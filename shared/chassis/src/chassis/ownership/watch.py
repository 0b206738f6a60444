"""One thread per process, which knows which capabilities are open here, and tells the threads that ask or wait."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping

import psycopg
from django.db import Error, connection

from chassis.ownership import owners
from chassis.ownership.following import follow
from chassis.ownership.owners import SideState
from chassis.process import vitals
from chassis.process.logs import Complaint

logger = logging.getLogger("chassis.ownership.watch")

CALM_SECONDS = 0.02  # from one look to the next, at least
PATROL_SECONDS = 0.25  # after which the rows are looked at even if nothing was heard


class Watch:
    """Nothing is open before the first look. While the database is away, what was seen last holds.

    ``on_look`` is called after every look, in the watching thread.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._seen: Mapping[str, SideState] | None = None
        self._doubted: set[str] = set()
        self._stopping = threading.Event()
        self._listeners: list[Callable[[], None]] = []
        self._thread: threading.Thread | None = None
        self._complaint = Complaint(logger, "sides_unknown")

    def start(self) -> None:
        """Begins to watch; a second call is no error."""
        with self._changed:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="chassis-watch", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """Returns when the thread has ended."""
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(PATROL_SECONDS * 20)

    def on_look(self, listener: Callable[[], None]) -> None:
        self._listeners.append(listener)

    def is_open(self, capability: str) -> bool:
        """Whether the capability may be consumed here now."""
        with self._changed:
            return self._is_open(capability)

    def is_near(self, capability: str) -> bool:
        """Whether the capability is open here, or may be any moment: a move has begun that concerns it."""
        with self._changed:
            return self._is_near(capability)

    def await_near(self, capability: str, seconds: float) -> bool:
        """Waits until it is; False when ``seconds`` pass first, or the watch is stopped."""
        self.wait(lambda: self._stopping.is_set() or self._is_near(capability), seconds)
        return self.is_near(capability)

    def is_pausing(self, capability: str) -> bool:
        """Whether writes that have not begun should wait, because a fence is about to be put up."""
        state = (self._seen or {}).get(capability)
        return state is not None and state.pausing

    def doubt(self, capability: str) -> None:
        """A statement met the capability's fence: it counts as closed until a look that begins after this says
        otherwise."""
        with self._changed:
            self._doubted.add(capability)
            self._changed.notify_all()

    def wait(self, ready: Callable[[], bool], seconds: float) -> bool:
        """Waits until ``ready``, which is asked after every look; False when ``seconds`` pass first."""
        with self._changed:
            return self._changed.wait_for(ready, seconds)

    def await_open(self, capability: str, seconds: float) -> bool:
        """Waits until the capability is open; False when ``seconds`` pass first, or the watch is stopped."""
        self.wait(lambda: self._stopping.is_set() or self._is_open(capability), seconds)
        return self.is_open(capability)

    def _is_open(self, capability: str) -> bool:
        if self._seen is None or capability in self._doubted:
            return False
        return owners.opened(self._seen.get(capability))

    def _is_near(self, capability: str) -> bool:
        return self._is_open(capability) or capability in (self._seen or {})

    def _run(self) -> None:
        with vitals.loop("watch"):
            while not self._stopping.is_set():
                try:
                    follow(self._look, lambda: not self._stopping.is_set(), patrol_seconds=PATROL_SECONDS)
                except Exception as error:  # noqa: BLE001
                    # This thread goes on after any error: without it a process would consume nothing, or messages of
                    # another owner.
                    known = isinstance(error, (Error, psycopg.Error))
                    self._complaint.make(str(error), exc_info=not known)
                    connection.close()
                    vitals.beat()
                    self._stopping.wait(PATROL_SECONDS)
        connection.close()

    def _look(self) -> None:
        with self._changed:
            doubted = set(self._doubted)
        seen = owners.sides()
        self._complaint.over()
        vitals.beat()
        with self._changed:
            self._seen = seen
            self._doubted -= doubted
            self._changed.notify_all()
        for listener in self._listeners:
            listener()
        # A switch changes a side's row several times in a row.
        self._stopping.wait(CALM_SECONDS)


def backoff(tries: int, *, first: float = 0.05, most: float = 2.0) -> float:
    """Seconds to wait after so many tries in vain."""
    return min(most, first * 2.0 ** min(tries - 1, 16))
