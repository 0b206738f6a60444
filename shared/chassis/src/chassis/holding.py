"""Holds requests in a pause: one poll of the side's rows for all that wait in this process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

from django.db import DatabaseError, connections

from chassis import options, ownership
from chassis.ownership import SideState

INTERVAL = 0.002  # seconds between two looks while somebody waits


class Holding:
    """The requests of this process that wait for an owner.

    At most half of the process's threads may wait, so that the others go on serving what does not move.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting = 0
        self._seen: Mapping[str, SideState] = {}
        self._looked = 0
        self._thread: threading.Thread | None = None

    def wait(self, capability: str, ready: Callable[[SideState | None], bool], *, deadline: float) -> SideState | None:
        """Waits until ``ready`` accepts the capability's state; the state it accepted.

        Raises:
            Full: when half of the threads wait already.
            TimeoutError: when ``deadline`` (``time.monotonic``) passes first.
        """
        with self._changed:
            if self._waiting >= options.hold_limit():
                raise Full
            self._waiting += 1
            try:
                self._watch()
                # What was seen before this request came says nothing about it.
                first = self._looked + 1
                while True:
                    if self._looked > first and ready(self._seen.get(capability)):
                        return self._seen.get(capability)
                    left = deadline - time.monotonic()
                    if left <= 0:
                        raise TimeoutError
                    self._changed.wait(min(left, 1.0))
            finally:
                self._waiting -= 1

    def _watch(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._look, name="chassis-holding", daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _look(self) -> None:
        while True:
            with self._changed:
                while not self._waiting:
                    self._changed.wait()
            try:
                seen = ownership.sides()
            except DatabaseError:
                # The row cannot be read while the server is away; those who wait have deadlines.
                connections.close_all()
                seen = self._seen
            with self._changed:
                self._seen = seen
                self._looked += 1
                self._changed.notify_all()
            time.sleep(INTERVAL)


class Full(Exception):  # noqa: N818  a state of the process, not a fault
    """Half of the process's threads wait already."""
