"""Threads that use the shop for as long as a block lasts."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Self


class Traffic:
    """``with`` it: its threads run until the block ends, which waits until the shop gets through once more.

    So a shop that stands still is seen. A block that fails does not wait.
    """

    _threads: Sequence[threading.Thread]

    def __init__(self) -> None:
        self._over = threading.Event()

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        self.get_through()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.get_through()
        finally:
            self._over.set()
            for thread in self._threads:
                thread.join()
            self.close()

    def get_through(self) -> None:
        """Waits until something that was begun after this call has been acknowledged."""
        raise NotImplementedError

    def close(self) -> None:
        """What is left to do when the threads have ended."""
