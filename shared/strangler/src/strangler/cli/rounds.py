"""Loops of a long-lived command: each runs its turn again and again, in a thread of its own, until the command should
end."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable

import psycopg

from strangler.adapters import logs
from strangler.cli.unforeseen import unforeseen
from strangler.domain.errors import StranglerError

RETRY_SECONDS = 0.5
LAST_SECONDS = 8.0
# No wait in a turn should take so long; a process that is started again loses nothing.
STANDING_SECONDS = 300.0


def own_name() -> str:
    """The name of this process: its machine (a pod of a cluster, for example), and its number there."""
    return f"{socket.gethostname()}:{os.getpid()}"


def nothing() -> None:
    """The end of a loop that has nothing to clean up."""


class Rounds:
    """Begins to listen to SIGTERM and SIGINT when it is made, and to log as a process that serves."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.failed = threading.Event()
        self._turned: dict[str, float] = {}
        self._threads: list[threading.Thread] = []
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stop.set())
        logs.serve()
        threading.excepthook = self._end_on_a_bug

    def go(self, name: str, turn: Callable[[], None], *, at_the_end: Callable[[], None] = nothing) -> None:
        """Calls ``turn`` again and again from now on; ``turn`` itself has to wait, in short pieces."""
        self._turned[name] = time.monotonic()
        thread = threading.Thread(target=self._go_round, args=(name, turn, at_the_end), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def last(self, work: Callable[[], None]) -> None:
        """Runs ``work`` as the last turn, unless it raises StranglerError."""
        work()
        self.stop.set()

    def until_told(self, *, within: float = LAST_SECONDS) -> None:
        """Returns when a signal has come and all loops have ended, or ``within`` seconds after the signal.

        Raises:
            SystemExit: a loop has failed by a bug; otherwise the others would go on without it.
        """
        self.stop.wait()
        deadline = time.monotonic() + within
        for thread in self._threads:
            thread.join(max(deadline - time.monotonic(), 0))
        if self.failed.is_set():
            raise SystemExit(1)

    def standing(self) -> str | None:
        """Names the loops that have not finished a turn for too long."""
        now = time.monotonic()
        still = [name for name, turned in self._turned.items() if now - turned > STANDING_SECONDS]
        return f"not come round for {STANDING_SECONDS:.0f} s: {', '.join(still)}" if still else None

    def _go_round(self, name: str, turn: Callable[[], None], at_the_end: Callable[[], None]) -> None:
        """Waits for a server that is away or refuses something, and says so once."""
        said = ""
        while not self.stop.is_set():
            self._turned[name] = time.monotonic()
            try:
                turn()
                said = ""
            except (StranglerError, psycopg.Error) as error:
                if _told(error) != said:
                    said = _told(error)
                    logs.tell("turn_failed", said, level="warning", loop=name, reason=said)
                self.stop.wait(RETRY_SECONDS)
        try:
            at_the_end()
        except (StranglerError, psycopg.Error) as error:
            said = _told(error)
            logs.tell("end_failed", said, level="warning", loop=name, reason=said)

    def _end_on_a_bug(self, arguments: threading.ExceptHookArgs) -> None:
        logs.crashed(arguments)
        self.failed.set()
        self.stop.set()


def _told(error: StranglerError | psycopg.Error) -> str:
    return str(error if isinstance(error, StranglerError) else unforeseen(error))
