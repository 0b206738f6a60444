"""How long the writers without think time saw nobody's write acknowledged."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import pairwise

from strangler.application.rehearsal.journal import Attempt, Outcome

WRITER = "writer"


def acknowledgements(attempts: Iterable[Attempt], capability: str) -> list[int]:
    """When the writers' writes to the capability were acknowledged, in nanoseconds, ascending."""
    return sorted(
        attempt.answered_at
        for attempt in attempts
        if attempt.client.startswith(WRITER)
        and attempt.outcome is Outcome.ACKNOWLEDGED
        and attempt.answered_at is not None
        and any(write.capability == capability for write in attempt.writes)
    )


def longest_gap_ms(times: Sequence[int], began: int, ended: int) -> float | None:
    """The longest gap between two neighbours of ``times`` that touches the window; None without two."""
    first = max(bisect_left(times, began) - 1, 0)
    last = bisect_right(times, ended) + 1
    gaps = [after - before for before, after in pairwise(times[first:last])]
    return max(gaps) / 1e6 if gaps else None
