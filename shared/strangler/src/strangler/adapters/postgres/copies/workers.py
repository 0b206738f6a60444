"""Threads that share one piece of work, each with sessions of its own."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

T = TypeVar("T")

WATCH_SECONDS = 0.5
MOST = 4  # more would take the servers from those whom they serve


def number() -> int:
    """How many work at a time: as many as this machine has processors, but not so many that others suffer."""
    return min(MOST, max(2, os.cpu_count() or 2))


class Workers(Generic[T]):
    """Threads that take the items of ``work``; the first error of any ends the others once each has done its item."""

    def __init__(self, work: Iterable[T]) -> None:
        self._work: queue.SimpleQueue[T] = queue.SimpleQueue()
        for item in work:
            self._work.put(item)
        self._failure: BaseException | None = None
        self._over = False

    def items(self) -> Iterable[T]:
        """The items that are left for the thread that asks, one by one."""
        while not self._over:
            try:
                yield self._work.get_nowait()
            except queue.Empty:
                return

    def run(self, threads: int, each: Callable[[int], None], *, watch: Callable[[], None] = lambda: None) -> None:
        """Runs ``each`` with numbers from 0, in as many threads; ``watch`` is called twice a second meanwhile.

        Raises:
            BaseException: the first error of any thread, as it was; or the error of ``watch``, without waiting for the
                threads.
        """
        running = [threading.Thread(target=self._one, args=(each, place)) for place in range(threads)]
        for thread in running:
            thread.start()
        try:
            for thread in running:
                while thread.is_alive():
                    thread.join(WATCH_SECONDS)
                    watch()
        finally:
            self._over = True
        if self._failure is not None:
            raise self._failure

    def _one(self, each: Callable[[int], None], place: int) -> None:
        try:
            each(place)
        except BaseException as error:  # noqa: BLE001  it is raised in `run`
            self._failure = self._failure or error
            self._over = True
