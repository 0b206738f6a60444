"""The questions to the databases once the traffic has ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from strangler.domain.move import SideRow
from strangler.domain.project import MONOLITH
from strangler.rehearsal.checker import Finding, check
from strangler.rehearsal.history import History, Place
from strangler.rehearsal.ports import Damage, Ran, Sides
from strangler.rehearsal.selftest import SelfTest, self_test

DRAIN_SECONDS = 30.0
LOOK_SECONDS = 0.2


@dataclass(slots=True)
class Drain:
    """Compares both databases until they are equal; ``differing`` keeps the last count of each."""

    verify: Callable[[str], Ran]
    within: float
    differing: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def run(self, capabilities: Collection[str]) -> None:
        for capability in capabilities:
            deadline = time.monotonic() + self.within
            ran = self.verify(capability)
            while ran.code == 1 and time.monotonic() < deadline:
                ran = self.verify(capability)
            self.differing[capability] = int(ran.answer.get("differing", 0))
            if ran.code != 0 and not self.differing[capability]:
                self.problems.append(f"verify {capability} failed: {ran.errors.strip()}")


def owner_of(capability: str, sides: Sequence[SideRow]) -> tuple[str, str | None]:
    """The one side that is open, and what is wrong if it is not exactly one.

    If no move was ever begun there are no rows, and the monolith is the owner.
    """
    if not sides:
        return MONOLITH, None
    opened = [row.side for row in sides if row.open]
    if len(opened) == 1:
        return opened[0], None
    latest = max(sides, key=lambda row: (row.epoch, row.prepared))
    what = " and ".join(opened) if opened else "nobody"
    return latest.side, f"{capability} is owned by {what}"


def owners(capabilities: Collection[str], sides: Sides) -> tuple[dict[str, str], list[str]]:
    """The owner of each capability, and what is wrong with any of them."""
    found = {capability: owner_of(capability, sides.rows(capability)) for capability in capabilities}
    return (
        {capability: side for capability, (side, _) in found.items()},
        [problem for _, problem in found.values() if problem],
    )


def prove(histories: Mapping[Place, History], rows: Mapping[str, Damage], *, within: float) -> list[Finding]:
    """Checks all places; a place that is not as it should be is checked again for a while, for clean-ups across a
    seam come after the write that asked for them."""
    deadline = time.monotonic() + within
    findings = check(histories, rows)
    while findings and time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)
        findings = check({finding.place: histories[finding.place] for finding in findings}, rows)
    return findings


def spoil(histories: Mapping[Place, History], rows: Mapping[str, Damage], bad: Sequence[Finding]) -> SelfTest:
    """The self-test, on rows that are as they should be."""
    known = {finding.place for finding in bad}
    return self_test({place: histories[place] for place in histories if place not in known}, rows)
