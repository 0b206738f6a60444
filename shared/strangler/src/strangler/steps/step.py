"""What every step is made of, and the one loop that runs them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

Boundary = Callable[[str], None]
"""Called with ``before:NAME`` and ``after:NAME``: where a step is shown, and where tests end the process."""


class Step(Generic[T]):
    """One operation of a move.

    `check` refuses and changes nothing; `start` acts, after its intent has been recorded; `roll_back` undoes what
    `start` did, or may have done; it is called for every step that was begun, the latest first.
    """

    name: str

    def check(self, move: T) -> None:
        """Raises a RefusedError when the step cannot be begun."""

    def start(self, move: T) -> None:
        """Does it."""
        raise NotImplementedError

    def roll_back(self, move: T) -> None:
        """Undoes it; must be safe to call where `start` did nothing."""


@dataclass(frozen=True, slots=True)
class Taken:
    """How long a step took."""

    step: str
    ms: float


def run(steps: Sequence[Step[T]], move: T, *, boundary: Boundary) -> list[Taken]:
    """Runs the steps in order; on any error rolls back those begun, the latest first, and raises it again."""
    for step in steps:
        step.check(move)
    begun: list[Step[T]] = []
    taken: list[Taken] = []
    try:
        for step in steps:
            boundary(f"before:{step.name}")
            began = time.perf_counter()
            begun.append(step)
            step.start(move)
            taken.append(Taken(step.name, (time.perf_counter() - began) * 1000))
            boundary(f"after:{step.name}")
    except BaseException:
        for step in reversed(begun):
            step.roll_back(move)
        raise
    return taken
