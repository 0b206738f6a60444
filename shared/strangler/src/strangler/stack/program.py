"""A program as the supervisor runs it."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

from strangler.domain.errors import StackError

TAIL_LINES = 25


class Tier(IntEnum):
    """Tiers start in ascending order and stop in descending order."""

    DATABASE = 0
    BROKER = 1
    PROCESS = 2
    GATEWAY = 3
    AGENT = 4


def always() -> bool:
    return True


def nothing() -> None:
    return None


@dataclass(frozen=True, slots=True)
class Program:
    """``prepare`` runs before every start and restart; ``ready`` is asked until it says yes. ``unset`` are variables
    that it does not get of who starts it."""

    name: str
    command: Sequence[str]
    directory: Path
    log: Path
    tier: Tier = Tier.PROCESS
    environment: Mapping[str, str] = field(default_factory=dict)
    unset: Collection[str] = ()
    ready: Callable[[], bool] = always
    prepare: Callable[[], None] = nothing
    stop_signal: int = signal.SIGTERM
    stop_seconds: float = 15


def failure(program: Program, what: str) -> StackError:
    """An error that shows the end of the program's log."""
    return StackError(
        f"{what}; the end of its log:\n{tail(program.log)}",
        place=program.name,
        remedy=f"the whole log is {program.log}",
    )


def tail(log: Path, lines: int = TAIL_LINES) -> str:
    """The last lines, and of a record in JSON what happened and the end of its traceback."""
    try:
        text = log.read_text(errors="replace")
    except FileNotFoundError:
        text = ""
    return "\n".join(f"    {_told(line)}" for line in text.splitlines()[-lines:]) or "    (empty)"


def _told(line: str) -> str:
    try:
        record = json.loads(line)
    except ValueError:
        return line
    if not isinstance(record, dict) or "event" not in record:
        return line
    ended = str(record.get("exception") or "").strip().splitlines()[-1:]
    return ": ".join([" ".join(str(record[key]) for key in ("time", "level", "event") if key in record), *ended])
