"""A switch under way: stopped at a boundary, or kept in its pause."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.shop import FROM, OTHER, Shop
from tests.waiting import GENEROUS_SECONDS, eventually

PAUSE = "LOCK TABLE strangler.marker IN SHARE MODE"


class Coordinator:
    """The process of a ``strangler switch`` or ``reverse``."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.output = ""

    def is_stopped(self) -> bool:
        state = (Path("/proc") / str(self.process.pid) / "stat").read_text().rpartition(")")[2].split()[0]
        return state == "T"

    def go_on(self) -> int:
        """Lets it run to its end; its exit code."""
        self.wake()
        return self.finish()

    def wake(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def finish(self) -> int:
        self.output, _ = self.process.communicate(timeout=GENEROUS_SECONDS)
        return self.process.returncode

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=GENEROUS_SECONDS)


@contextmanager
def stopped(shop: Shop, verb: str, at: str, *options: str) -> Iterator[Coordinator]:
    """A coordinator that stands still at the boundary, as if its machine were frozen."""
    with _spawned(shop, verb, "--yes", *options, STRANGLER_STOP_AT=at) as coordinator:
        eventually(coordinator.is_stopped, f"{verb} stands still {at}")
        yield coordinator


@contextmanager
def stopped_start(shop: Shop, at: str) -> Iterator[Coordinator]:
    """The same of a ``strangler start``."""
    with _spawned(shop, "start", STRANGLER_STOP_AT=at) as coordinator:
        eventually(coordinator.is_stopped, f"start stands still {at}")
        yield coordinator


@contextmanager
def paused(shop: Shop, verb: str) -> Iterator[Coordinator]:
    """A coordinator that has fenced the old owner and waits for its marker, which cannot arrive before the block
    ends."""
    old = FROM[verb]
    new = shop.stack.database(shop.database_of(OTHER[old]))
    try:
        new.execute("BEGIN")
        new.execute(PAUSE)
        with _spawned(shop, verb, "--yes") as coordinator:
            eventually(lambda: shop.is_open(old) is False, f"{verb} has fenced the {old}")
            yield coordinator
            new.execute("COMMIT")
            assert coordinator.finish() == 0, coordinator.output
    finally:
        new.close()


@contextmanager
def _spawned(shop: Shop, verb: str, *options: str, **environment: str) -> Iterator[Coordinator]:
    coordinator = Coordinator(shop.stack.spawn(verb, "users", *options, **environment))
    try:
        yield coordinator
    finally:
        if coordinator.process.poll() is None:
            coordinator.kill()
