"""What was found, and what was looked at for it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

Severity = Literal["error", "warning", "note"]
Confidence = Literal["certain", "likely"]

ORDER = ("error", "warning", "note")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that will not mean the same after a switch.

    ``id`` names a section of docs/how-to/when-something-is-wrong.md. An ``error`` fails for somebody after the switch;
    of a ``warning`` a person has to decide whether it matters; a ``note`` is only said. ``reason``: why a person says
    that it is no fault.
    """

    id: str
    severity: Severity
    place: str
    message: str
    remedy: str
    confidence: Confidence = "certain"
    reason: str | None = None

    def explained(self, reason: str | None) -> Finding:
        """The same as a note, if a person has given a reason why it is no fault."""
        if reason is None or self.reason is not None:
            return self
        told = f"{self.message} It was looked at: {reason}."
        return replace(self, severity="note", message=told, remedy="nothing to do", reason=reason)


@dataclass(slots=True)
class Report:
    """All findings, and how far they can be believed: what was looked at, and what could not be."""

    findings: list[Finding] = field(default_factory=list)
    looked_at: dict[str, int] = field(default_factory=dict)
    not_looked_at: list[str] = field(default_factory=list)
    follows: str = "strangler start CAPABILITY"  # what can be done if it is ready

    @property
    def ready(self) -> bool:
        """Whether nothing was found that will fail."""
        return not self.of("error")

    @property
    def explained(self) -> int:
        """How many findings are no more than notes because a person has given a reason."""
        return sum(finding.reason is not None for finding in self.findings)

    def of(self, severity: Severity) -> Sequence[Finding]:
        """The findings of a severity, as they are shown."""
        return [finding for finding in self.findings if finding.severity == severity]

    def add(self, findings: Iterable[Finding]) -> None:
        """Takes findings that are not there yet, and keeps all in the order in which they are shown."""
        self.findings = list(dict.fromkeys([*self.findings, *findings]))
        self.findings.sort(key=lambda one: (ORDER.index(one.severity), one.id, one.place, one.message))

    def next(self) -> Sequence[str]:
        """What to do now."""
        if self.ready:
            return [self.follows]
        return ["mend each error, or say in a comment or in CHASSIS_CHECKED why it is none, and run this again"]

    def as_json(self) -> dict[str, Any]:
        """The report as the command prints it with ``--json``."""
        return {
            "ready": self.ready,
            "findings": [asdict(finding) for finding in self.findings],
            "explained": self.explained,
            "looked_at": self.looked_at,
            "not_looked_at": self.not_looked_at,
            "next": list(self.next()),
        }
