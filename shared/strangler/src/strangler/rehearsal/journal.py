"""The clients' notes: each write before it is sent, and its outcome.

There is one file per process, and one JSON object per line. Times are nanoseconds of the monotonic clock,
which all processes of a machine share.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from itertools import count
from pathlib import Path
from typing import Any

from strangler.domain.traffic import Kind, Operation, Write


class Outcome(StrEnum):
    """What a client knows of a write."""

    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"
    UNKNOWN = "unknown"  # no answer, or one that was not expected: it may have happened or not


@dataclass(frozen=True, slots=True)
class Attempt:
    """A request that writes; ``answered_at`` is None if the answer never came."""

    client: str
    request: str
    writes: tuple[Write, ...]
    sent_at: int
    answered_at: int | None = None
    outcome: Outcome = Outcome.UNKNOWN


@dataclass(frozen=True, slots=True)
class Failure:
    """A request whose answer the client did not expect."""

    client: str
    request: str
    detail: str
    at: int


class Journal:
    """Appends lines, also from several threads. The operating system has the line when the call returns."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._numbers = count(1)

    def sent(self, client: str, operation: Operation) -> int:
        """Records the writes of an operation that is about to be sent; returns their number."""
        number = next(self._numbers)
        writes = [asdict(write) for write in operation.writes]
        self._append({"sent": number, "client": client, "request": str(operation), "writes": writes})
        return number

    def answered(self, number: int, outcome: Outcome, told: Sequence[Write] = ()) -> None:
        """Records the outcome of these writes; ``told`` are writes that only the answer made known."""
        self._append({"answered": number, "outcome": outcome, "told": [asdict(write) for write in told]})

    def failed(self, client: str, operation: Operation, detail: str) -> None:
        self._append({"failed": detail, "client": client, "request": str(operation)})

    def close(self) -> None:
        os.close(self._file)

    def _append(self, record: Mapping[str, Any]) -> None:
        # O_APPEND keeps the lines of several threads apart without a lock of our own.
        line = json.dumps({**record, "at": time.monotonic_ns()}, separators=(",", ":"))
        os.write(self._file, line.encode() + b"\n")


@dataclass(frozen=True, slots=True)
class Records:
    """All that the clients of a rehearsal wrote down, attempts in the order in which they were sent."""

    attempts: tuple[Attempt, ...]
    failures: tuple[Failure, ...]


def read(*paths: Path) -> Records:
    """Reads journals; leaves out a last line that its writer could not finish before it died."""
    attempts: list[Attempt] = []
    failures: list[Failure] = []
    for path in paths:
        sent: dict[int, Attempt] = {}
        for record in _lines(path):
            if "sent" in record:
                sent[record["sent"]] = _attempt(record)
            elif "answered" in record:
                sent[record["answered"]] = _answered(sent[record["answered"]], record)
            else:
                failures.append(Failure(record["client"], record["request"], record["failed"], record["at"]))
        attempts += sent.values()
    attempts.sort(key=lambda attempt: attempt.sent_at)
    failures.sort(key=lambda failure: failure.at)
    return Records(tuple(attempts), tuple(failures))


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as lines:
        for line in lines:
            if line.endswith(b"\n"):
                yield json.loads(line)


def _attempt(record: Mapping[str, Any]) -> Attempt:
    return Attempt(record["client"], record["request"], _writes(record["writes"]), record["at"])


def _answered(attempt: Attempt, record: Mapping[str, Any]) -> Attempt:
    return replace(
        attempt,
        writes=attempt.writes + _writes(record["told"]),
        answered_at=record["at"],
        outcome=Outcome(record["outcome"]),
    )


def _writes(records: Sequence[Mapping[str, Any]]) -> tuple[Write, ...]:
    return tuple(Write(**{**record, "kind": Kind(record["kind"])}) for record in records)
