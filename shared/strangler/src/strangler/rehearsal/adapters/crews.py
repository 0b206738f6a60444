"""Starts the traffic's processes, and adds up their totals."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import IO

from strangler.rehearsal.adapters.crew import Assignment
from strangler.rehearsal.conduct import RehearsalError
from strangler.rehearsal.ports import Totals, Traffic

END_SECONDS = 30.0  # a client's last request may take 20
STALLED_SECONDS = 30.0
DIED = ("a process of the traffic died", "see rehearsal.log beside the report")


class Crews(Traffic):
    """The processes of a rehearsal's traffic: ``with Crews(assignments) as traffic``."""

    def __init__(self, assignments: Sequence[Assignment], *, errors: IO[bytes]) -> None:
        self._news = threading.Condition()
        self._told = [Totals() for _ in assignments]
        self._ended = [False for _ in assignments]
        self._processes = [_start(assignment, errors) for assignment in assignments]
        self._readers = [
            threading.Thread(target=self._read, args=(place,), daemon=True) for place in range(len(assignments))
        ]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> Crews:
        return self

    def __exit__(self, *exc: object) -> None:
        self.end()

    def totals(self) -> Totals:
        """The sum of the last totals of each process."""
        with self._news:
            return _sum(self._told)

    def wait(self, reached: Callable[[Totals], bool], *, within: float) -> None:
        """Looks whenever a process sends totals, and every second."""
        deadline = time.monotonic() + within
        progress, since = -1, time.monotonic()
        with self._news:
            while not reached(totals := _sum(self._told)):
                now = time.monotonic()
                if totals.requests > progress:
                    progress, since = totals.requests, now
                if any(self._ended):
                    raise _trouble(*DIED)
                if now - since > STALLED_SECONDS:
                    raise _trouble(f"no request was answered for {STALLED_SECONDS:.0f} s", "see `strangler status`")
                if now > deadline:
                    raise _trouble(f"the traffic did not get there within {within:.0f} s", "give it more time")
                self._news.wait(1.0)

    def set_writers(self, capability: str | None) -> None:
        """A line to each process; an empty one parks them."""
        for process in self._processes:
            assert process.stdin is not None
            try:
                process.stdin.write(f"{capability or ''}\n")
                process.stdin.flush()
            except BrokenPipeError as error:
                raise _trouble(*DIED) from error

    def end(self) -> Sequence[int]:
        """Closes the processes' input; a process that goes on too long is killed."""
        for process in self._processes:
            assert process.stdin is not None
            with suppress(BrokenPipeError):
                process.stdin.close()
        codes = [_finish(process) for process in self._processes]
        for reader in self._readers:
            reader.join()
        return codes

    def _read(self, place: int) -> None:
        out = self._processes[place].stdout
        assert out is not None
        for line in out:
            with self._news:
                self._told[place] = Totals(**json.loads(line))
                self._news.notify_all()
        with self._news:
            self._ended[place] = True
            self._news.notify_all()


def _start(assignment: Assignment, errors: IO[bytes]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "strangler.rehearsal.adapters.crew", json.dumps(asdict(assignment))],
        cwd=assignment.root,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        start_new_session=True,
    )


def _finish(process: subprocess.Popen[str]) -> int:
    try:
        return process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _sum(told: Sequence[Totals]) -> Totals:
    acknowledged: Counter[str] = Counter()
    writers: Counter[str] = Counter()
    for totals in told:
        acknowledged.update(totals.acknowledged)
        writers.update(totals.writers)
    return Totals(
        requests=sum(totals.requests for totals in told),
        failed=sum(totals.failed for totals in told),
        acknowledged=acknowledged,
        writers=writers,
    )


def _trouble(message: str, remedy: str) -> RehearsalError:
    return RehearsalError(message, place="traffic", remedy=remedy)
