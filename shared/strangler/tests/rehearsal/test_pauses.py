from __future__ import annotations

import pytest
from strangler.application.rehearsal.journal import Attempt, Outcome
from strangler.application.rehearsal.pauses import acknowledgements, longest_gap_ms
from strangler.domain.traffic import update

MS = 1_000_000
TIMES = [place * MS for place in (0, 10, 90, 100, 105, 300)]


@pytest.mark.parametrize(
    ("began", "ended", "gap"),
    [
        pytest.param(20, 80, 80.0, id="the window lies in the gap"),
        pytest.param(5, 95, 80.0, id="the gap lies in the window"),
        pytest.param(95, 102, 10.0, id="gaps outside the window do not count"),
        pytest.param(101, 200, 195.0, id="the last gap reaches out of the window"),
    ],
)
def test_the_longest_gap_is_one_that_touches_the_window(began: int, ended: int, gap: float) -> None:
    assert longest_gap_ms(TIMES, began * MS, ended * MS) == gap


def test_without_two_writes_there_is_no_gap() -> None:
    assert longest_gap_ms([5], 0, 10) is None


def test_only_acknowledged_writes_of_writers_to_the_capability_count() -> None:
    def attempt(client: str, capability: str, outcome: Outcome, at: int) -> Attempt:
        return Attempt(client, "PATCH /", (update(capability, "t", {"id": 1}, {}),), at, at, outcome)

    attempts = [
        attempt("writer 0.1", "notes", Outcome.ACKNOWLEDGED, 2),
        attempt("writer 0.1", "notes", Outcome.REFUSED, 3),
        attempt("writer 0.1", "books", Outcome.ACKNOWLEDGED, 4),
        attempt("client 0.1", "notes", Outcome.ACKNOWLEDGED, 5),
    ]

    assert acknowledgements(attempts, "notes") == [2]
