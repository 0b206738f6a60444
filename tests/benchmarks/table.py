"""What a benchmark finds: figures beside those of peers or of a floor, measured in the same run on the same machine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self


@dataclass(frozen=True)
class Goal:
    """What a figure is to reach: ``bound`` times the peer ``against``, or ``bound`` itself in the figure's unit where
    ``against`` is empty. It is the most that it may be, or with ``least`` the least."""

    bound: float
    against: str = ""
    least: bool = False


@dataclass(frozen=True)
class Figure:
    """One measured thing. ``ours`` and all ``peers`` are in ``unit``; ``note`` says what a reader must know, such as
    the number of rows. A figure may have several goals, and none."""

    name: str
    unit: str
    ours: float
    peers: Mapping[str, float] = field(default_factory=dict)
    goals: tuple[Goal, ...] = ()
    note: str = ""

    def __post_init__(self) -> None:
        unknown = [goal.against for goal in self.goals if goal.against and goal.against not in self.peers]
        if unknown:
            raise ValueError(f"{self.name}: a goal is compared with {unknown[0]!r}, which was not measured")

    def ratio(self, peer: str) -> float:
        """Ours, as a multiple of a peer's."""
        return self.ours / self.peers[peer]

    def reaches(self, goal: Goal) -> bool:
        """Whether the goal is reached."""
        value = self.ratio(goal.against) if goal.against else self.ours
        return value >= goal.bound if goal.least else value <= goal.bound

    def missed(self) -> list[Goal]:
        """The goals that are not reached."""
        return [goal for goal in self.goals if not self.reaches(goal)]

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "goals": [asdict(goal) for goal in self.goals]}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Self:
        return cls(**{**found, "goals": tuple(Goal(**goal) for goal in found["goals"])})


COLUMNS = ("what", "ours", "beside it", "ratio", "goal")


def rows(figures: Iterable[Figure]) -> list[tuple[str, ...]]:
    """The table's cells below `COLUMNS`: a row for each figure's peer."""
    return [row for figure in figures for row in _rows(figure)]


def _rows(figure: Figure) -> Iterable[tuple[str, ...]]:
    own = [goal for goal in figure.goals if not goal.against]
    first = (figure.name, f"{number(figure.ours)} {figure.unit}")
    if own or not figure.peers:
        yield (*first, "", "", _goals(figure, own))
        first = ("", "")
    for peer, value in figure.peers.items():
        goals = [goal for goal in figure.goals if goal.against == peer]
        yield (*first, f"{peer}: {number(value)}", f"{figure.ratio(peer):.2f}", _goals(figure, goals))
        first = ("", "")


def _goals(figure: Figure, goals: Iterable[Goal]) -> str:
    return ", ".join(
        f"{'≥' if goal.least else '≤'} {goal.bound:g} {'✓' if figure.reaches(goal) else 'MISSED'}" for goal in goals
    )


def number(value: float) -> str:
    """With three digits that count, or all of a whole number."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def text(figures: Iterable[Figure]) -> str:
    """For a terminal."""
    cells = [COLUMNS, *rows(figures)]
    widths = [max(len(row[place]) for row in cells) for place in range(len(COLUMNS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )
