"""Waits for conditions: never for a time alone, and never without an end."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# Far above all times on a quiet machine: it is a limit for things that hang, and not a measure.
GENEROUS_SECONDS = 60.0
POLL_SECONDS = 0.02


def eventually(condition: Callable[[], T], what: str, *, within: float = GENEROUS_SECONDS) -> T:
    """The first true value of ``condition``; an assertion error that says ``what`` never came."""
    deadline = time.monotonic() + within
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what}: not within {within:.0f} s; last seen: {value!r}"
        time.sleep(POLL_SECONDS)
