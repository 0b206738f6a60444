"""Lines that say how far a long command is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


class Progress:
    """Prints one line per step, with the seconds since the beginning and the seconds that the step took."""

    def __init__(self, out: Callable[[str], None]) -> None:
        self._out = out
        self._begin = time.monotonic()

    def line(self, text: str) -> None:
        # The reader of the lines may have gone; the work goes on.
        with suppress(OSError):
            self._out(f"{time.monotonic() - self._begin:6.1f} s  {text}")

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Announces the step, and its end unless it fails."""
        begin = time.monotonic()
        self.line(f"{title} …")
        yield
        self.line(f"{title}: {time.monotonic() - begin:.1f} s")
