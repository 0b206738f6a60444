"""A move as the ledger knows it, and the two sides between which it goes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from strangler.domain.phase import State
from strangler.domain.project import MONOLITH, SERVICE


@dataclass(frozen=True, slots=True)
class Move:
    """One row of the ledger."""

    capability: str
    state: State
    epoch: int
    owner: str
    intent: str | None
    step: str | None
    facts: Mapping[str, Any] = field(default_factory=dict)
    changed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class SideRow:
    """One row of ``strangler.side``: what a database says of itself."""

    capability: str
    side: str
    epoch: int
    open: bool
    prepared: int
    bounce_to: str | None
    events_held: bool = False
    ledger: str | None = None
    reads: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Identity:
    """Which ledger this is. It is at ``home`` while it is in the database that it was made in; ``place`` is where it
    is."""

    id: str
    home: bool
    place: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of a move's history. ``at`` is when it was written; ``took_ms`` and ``details`` as it was recorded."""

    number: int
    what: str
    at: datetime
    took_ms: float | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StreamState:
    """One direction of replication, as both of its ends report it.

    ``lag_bytes`` is WAL not yet confirmed, ``lag_seconds`` the age of the oldest unapplied change,
    ``errors`` the apply worker's error count since its statistics were reset.
    """

    direction: str
    exists: bool = False
    active: bool = False
    ready: bool = False
    lost: bool = False
    lag_bytes: int | None = None
    lag_seconds: float | None = None
    retained_bytes: int | None = None
    errors: int = 0


@dataclass(frozen=True, slots=True)
class Deviation:
    """Something on ``side`` that differs from what the side's row says.

    ``mendable``: it can be turned right without asking anybody, and ``mark`` tells the adapter what to turn right.
    ``unproven``: while it differed, rows may have been written to the copy, or lost on their way.
    """

    side: str
    what: str
    remedy: str
    mendable: bool = False
    unproven: bool = True
    mark: str = ""

    def __str__(self) -> str:
        return f"{self.side}: {self.what}"


def other(side: str) -> str:
    """The side that is not this one."""
    return SERVICE if side == MONOLITH else MONOLITH
