"""Whether the loops of a process go round.

A process with a loop that stands still answers and does nothing, so whoever watches it should start it anew. A loop
that waits for a server looks every few seconds whether it is back, and so goes round.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

STUCK_SECONDS = 300.0  # without a sign of life; every wait that has a limit is shorter


class Followed(Protocol):
    """Something without which the process is of no use."""

    @property
    def name(self) -> str: ...

    @property
    def stuck(self) -> bool: ...


class Pulse:
    """One loop's signs of life; counts as stuck when none came for ``within`` seconds."""

    def __init__(self, name: str, within: float = STUCK_SECONDS) -> None:
        self.name = name
        self._within = within
        self._last = time.monotonic()

    @property
    def stuck(self) -> bool:
        return time.monotonic() - self._last > self._within

    def beat(self) -> None:
        self._last = time.monotonic()

    def stop(self) -> None:
        """The loop has ended though nobody asked it to."""
        self._last = float("-inf")


_followed: set[Followed] = set()
_lock = threading.Lock()
_mine = threading.local()


def follow(one: Followed) -> None:
    """From now on the process is alive only while this goes round."""
    with _lock:
        _followed.add(one)


def forget(one: Followed) -> None:
    """It has ended in order, or waits for something that has no limit; again is no error."""
    with _lock:
        _followed.discard(one)


@contextmanager
def loop(name: str, within: float = STUCK_SECONDS) -> Iterator[None]:
    """This thread's loop is inside, and calls `beat`. When an error ends it, it stays stuck."""
    outer, pulse = getattr(_mine, "pulse", None), Pulse(name, within)
    _mine.pulse = pulse
    follow(pulse)
    try:
        yield
    except BaseException:
        pulse.stop()
        raise
    else:
        forget(pulse)
    finally:
        _mine.pulse = outer


def beat() -> None:
    """The loop of this thread goes round; nothing where it has none."""
    pulse: Pulse | None = getattr(_mine, "pulse", None)
    if pulse is not None:
        pulse.beat()


def stuck() -> list[str]:
    """The names of the loops that stand still."""
    with _lock:
        return sorted(one.name for one in _followed if one.stuck)
