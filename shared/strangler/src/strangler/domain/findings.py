"""What a look at databases, configuration or servers finds, for people and for programs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from enum import StrEnum

COMMAND = re.compile(r"`(strangler [^`]+)`")


class Severity(StrEnum):
    """How much a finding matters."""

    ERROR = "error"  # people would get lasting errors, or rows that mean something else
    WARNING = "warning"  # something will be otherwise than before: a person should know, and decide
    NOTE = "note"  # as it has to be


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found: what it is and what follows from it (``message``), where, and what to do.

    ``id`` is the heading of its section in docs/how-to/when-something-is-wrong.md. ``error`` is the error that a verb
    ends with if nothing else is in its way.
    """

    id: str
    severity: Severity
    place: str
    message: str
    remedy: str
    error: Exception | None = field(default=None, compare=False, repr=False)

    def as_dict(self) -> dict[str, str]:
        """As JSON shows it."""
        return {
            "id": self.id,
            "severity": self.severity.value,
            "place": self.place,
            "message": self.message,
            "remedy": self.remedy,
        }


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a first copy and a verify would cost, extrapolated from sizes and from ``sampled_rows`` rows.

    ``disk_bytes`` and ``wal_bytes`` are those of the service's server. ``retained_bytes`` is the WAL that the
    monolith's server keeps while rows are copied, at the rate at which it has written until now.
    """

    rows: int
    copy_seconds: float
    index_seconds: float
    verify_seconds: float
    disk_bytes: int
    wal_bytes: int
    retained_bytes: int
    sampled_rows: int

    def as_dict(self) -> dict[str, float]:
        """As JSON shows it."""
        return asdict(self)

    def lines(self) -> list[str]:
        """For people."""
        return [
            f"about {self.rows:,} rows, {_bytes(self.disk_bytes)} with indexes, from a sample of {self.sampled_rows:,}",
            f"copy {_seconds(self.copy_seconds)}, indexes {_seconds(self.index_seconds)}, "
            f"verify {_seconds(self.verify_seconds)}, if nothing else works there",
            f"WAL: {_bytes(self.wal_bytes)} written by the service's server; the monolith's keeps about "
            f"{_bytes(self.retained_bytes)} until the copy is done",
        ]


def _bytes(number: int) -> str:
    size = float(number)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:,.0f} {unit}"
        size /= 1024
    return f"{size:,.1f} TiB"


def _seconds(number: float) -> str:
    return f"{number:,.0f} s" if number < 120 else f"{number / 60:,.0f} min"


@dataclass(slots=True)
class Looked:
    """All that a look has found; ``at`` names what it looked at, and ``not_at`` what it could not, with the reason."""

    findings: list[Finding] = field(default_factory=list)
    at: list[str] = field(default_factory=list)
    not_at: list[str] = field(default_factory=list)
    estimate: Estimate | None = None

    @property
    def errors(self) -> list[Finding]:
        """The findings that forbid a move."""
        return [one for one in self.findings if one.severity is Severity.ERROR]


def commands(findings: Iterable[Finding]) -> list[str]:
    """The commands that the findings' remedies name, each once."""
    return list(dict.fromkeys(command for one in findings for command in COMMAND.findall(one.remedy)))
