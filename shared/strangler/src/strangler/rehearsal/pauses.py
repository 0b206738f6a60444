"""The longest times in which no write of the writers without think time was acknowledged."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from strangler.rehearsal.journal import Attempt, Outcome

WRITER = "writer"


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """One write of a writer: when it was sent and acknowledged, in nanoseconds."""

    writer: str
    sent_at: int
    answered_at: int


def acknowledgements(attempts: Iterable[Attempt], capability: str) -> list[Acknowledged]:
    """The writers' acknowledged writes to the capability, in the order of acknowledgement."""
    found = [
        Acknowledged(attempt.client, attempt.sent_at, attempt.answered_at)
        for attempt in attempts
        if attempt.client.startswith(WRITER)
        and attempt.outcome is Outcome.ACKNOWLEDGED
        and attempt.answered_at is not None
        and any(write.capability == capability for write in attempt.writes)
    ]
    return sorted(found, key=lambda one: one.answered_at)


def all_served(writes: Iterable[Acknowledged], lifted: int) -> int:
    """Each writer has a first acknowledged write that it sent after ``lifted``; returns the time of the last of these.

    Only then is a pause over for everybody. It is ``lifted`` itself if no writer has sent such a write.
    """
    firsts: dict[str, int] = {}
    for one in writes:
        if one.sent_at >= lifted:
            firsts.setdefault(one.writer, one.answered_at)
    return max(firsts.values(), default=lifted)


def longest_gap_ms(times: Sequence[int], began: int, ended: int) -> float | None:
    """The longest gap between two neighbours of ``times`` that touches the window; None without two."""
    first = max(bisect_left(times, began) - 1, 0)
    last = bisect_right(times, ended) + 1
    gaps = [after - before for before, after in pairwise(times[first:last])]
    return max(gaps) / 1e6 if gaps else None
