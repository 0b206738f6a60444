"""Watches whether the loops of a process go round.

A process with a loop that stands still answers but does nothing, so it should be restarted from outside. A loop that
waits for a server looks every few seconds whether the server is back, so it goes round.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

STUCK_SECONDS = 300.0  # without a sign of life; every wait with a limit is shorter


class Followed(Protocol):
    """A part without which the process is of no use."""

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
    """From now on the process counts as alive only while this one goes round."""
    with _lock:
        _followed.add(one)


def forget(one: Followed) -> None:
    """It has ended in order, or waits without a limit; a second call is no error."""
    with _lock:
        _followed.discard(one)


@contextmanager
def loop(name: str, within: float = STUCK_SECONDS) -> Iterator[None]:
    """Belongs around this thread's loop, which calls `beat`. When an error ends the loop, it stays stuck."""
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
    """The loop of this thread goes round. Does nothing where the thread has no loop."""
    pulse: Pulse | None = getattr(_mine, "pulse", None)
    if pulse is not None:
        pulse.beat()


def stuck() -> list[str]:
    """The names of the loops that stand still."""
    with _lock:
        return sorted(one.name for one in _followed if one.stuck)
