"""Tells a person, about once per second, how far a rehearsal has come."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TextIO

from strangler.rehearsal.ports import Totals


class Narrator:
    """``with Narrator(out, began=…, totals=…) as narrator``; :meth:`say` names the present phase.

    On a terminal the present line is overwritten; elsewhere each is a line of its own.
    """

    def __init__(self, out: TextIO, *, began: float, totals: Callable[[], Totals]) -> None:
        self._out = out
        self._began = began
        self._totals = totals
        self._phase = ""
        self._before = (time.monotonic(), 0)
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._tick)

    def __enter__(self) -> Narrator:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._thread.join()
        self._write(self._line(), last=True)

    def say(self, phase: str) -> None:
        with self._lock:
            if self._phase:
                self._write(self._line(), last=True)
            self._phase = phase

    def _tick(self) -> None:
        while not self._over.wait(1.0):
            with self._lock:
                self._write(self._line(), last=not self._out.isatty())

    def _line(self) -> str:
        totals, now = self._totals(), time.monotonic()
        since, requests = self._before
        rate = (totals.requests - requests) / max(now - since, 0.001)
        self._before = (now, totals.requests)
        return (
            f"{now - self._began:6.1f} s  {self._phase.splitlines()[0]:<18} {totals.requests:>7,} requests "
            f"{rate:>5.0f}/s  {sum(totals.acknowledged.values()):>6,} writes  {totals.failed:>3} failed"
        )

    def _write(self, line: str, *, last: bool) -> None:
        start = "\r\x1b[K" if self._out.isatty() else ""
        self._out.write(start + line + ("\n" if last else ""))
        self._out.flush()
