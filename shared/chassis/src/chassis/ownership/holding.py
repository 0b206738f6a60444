"""Holds requests in a pause: one session listens for all that wait in this process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

import psycopg
from django.db import DatabaseError, connections

from chassis.ownership import owners, passages
from chassis.ownership.following import follow
from chassis.ownership.owners import SideState
from chassis.process import admission, waiting

PATROL_SECONDS = 0.05  # after which the rows are looked at even if nothing was heard


class Holding:
    """The requests of this process that wait for an owner; see the note "some remain" in `chassis.process.waiting`."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting = 0
        self._seen: Mapping[str, SideState] = {}
        self._version = 0
        self._listener: threading.Thread | None = None

    def wait(self, capability: str, ready: Callable[[SideState | None], bool], *, deadline: float) -> SideState | None:
        """Waits until ``ready`` accepts the capability's state; returns that state.

        Raises:
            chassis.process.waiting.Full: when too many threads wait already.
            TimeoutError: when ``deadline`` (``time.monotonic``) passes first.
        """
        with waiting.process.one("owners"):
            with self._changed:
                self._waiting += 1
                self._listen()
                version = self._version
            try:
                with admission.aside(), passages.held(capability):
                    seen = owners.sides().get(capability)
                    while not ready(seen):
                        version, seen = self._next(version, capability, deadline)
            finally:
                with self._changed:
                    self._waiting -= 1
        return seen

    def _next(self, version: int, capability: str, deadline: float) -> tuple[int, SideState | None]:
        with self._changed:
            left = deadline - time.monotonic()
            if left <= 0 or not self._changed.wait_for(lambda: self._version != version, left):
                raise TimeoutError
            return self._version, self._seen.get(capability)

    def _listen(self) -> None:
        if self._listener is None or not self._listener.is_alive():
            self._listener = threading.Thread(target=self._follow, name="chassis-holding", daemon=True)
            self._listener.start()
        self._changed.notify_all()

    def _follow(self) -> None:
        while True:
            with self._changed:
                while not self._waiting:
                    self._changed.wait()
            try:
                follow(self._look, lambda: self._waiting > 0, patrol_seconds=PATROL_SECONDS)
            except (DatabaseError, psycopg.Error):
                # The server is away; the requests that wait have deadlines.
                connections.close_all()
                time.sleep(PATROL_SECONDS)

    def _look(self) -> None:
        seen = owners.sides()
        with self._changed:
            self._seen = seen
            self._version += 1
            self._changed.notify_all()
