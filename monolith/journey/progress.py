"""How far a load has come: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from typing import TextIO

WIDTH = 24
REDRAW_SECONDS = 0.1


class Progress:
    """The rows of one table after the other, and their rate."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._terminal = out.isatty()
        self._began = time.monotonic()
        self.rows = 0

    def table(self, name: str, total: int) -> None:
        self._name, self._total, self._done = name, total, 0
        self._table_began = time.monotonic()
        self._drawn = 0.0

    def advance(self, rows: int) -> None:
        self._done += rows
        self.rows += rows
        if self._terminal and time.monotonic() - self._drawn > REDRAW_SECONDS:
            self._drawn = time.monotonic()
            self._out.write(f"\r{self._line()}")
            self._out.flush()

    def finish_table(self) -> None:
        self._out.write(f"\r{self._line()}\n" if self._terminal else f"{self._line()}\n")
        self._out.flush()

    def say(self, text: str) -> None:
        self._out.write(f"{text}\n")
        self._out.flush()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def _line(self) -> str:
        rate = self._done / max(time.monotonic() - self._table_began, 0.001)
        bar = "━" * (WIDTH * self._done // max(self._total, 1)) if self._terminal else ""
        counted = f"{self._done:>11,} of {self._total:>11,} rows {rate:>11,.0f}/s"
        return f"{self._name:<24} {bar:<{WIDTH}} {counted}" if self._terminal else f"{self._name:<24} {counted}"
