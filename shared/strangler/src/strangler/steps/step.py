"""What every step is made of, and the one loop that runs them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from strangler.ports.tracer import UNTRACED, Tracer

T = TypeVar("T")

Boundary = Callable[[str], None]
"""Called with ``before:NAME`` and ``after:NAME``: there a step is shown, and there tests end the process."""


class Step(Generic[T]):
    """One operation of a move, which can begin again wherever it was interrupted.

    A step does not know what is done when it fails or its process dies: see `unwinding`.
    """

    name: str

    def start(self, move: T) -> None:
        """Does it; the ledger already says what it is about to do."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Taken:
    """How long a step took."""

    step: str
    ms: float


def run(steps: Sequence[Step[T]], move: T, *, boundary: Boundary, tracer: Tracer = UNTRACED) -> list[Taken]:
    """Runs the steps in order, each in a span of its name; an exception of a step, or of ``boundary``, ends the run
    there."""
    taken: list[Taken] = []
    for step in steps:
        boundary(f"before:{step.name}")
        began = time.perf_counter()
        with tracer.span(step.name):
            step.start(move)
        taken.append(Taken(step.name, (time.perf_counter() - began) * 1000))
        boundary(f"after:{step.name}")
    return taken
