from __future__ import annotations

import pytest
from strangler.domain.traffic import update
from strangler.rehearsal.journal import Attempt, Outcome
from strangler.rehearsal.pauses import Acknowledged, acknowledgements, all_served, longest_gap_ms

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


def test_a_gap_that_begins_after_the_verb_counts_until_every_writer_is_served() -> None:
    # One writer is quick; the other's first write after the lift is acknowledged seven seconds later.
    writes = [
        Acknowledged("writer 0.0", 10 * MS, 20 * MS),
        Acknowledged("writer 0.1", 15 * MS, 25 * MS),
        Acknowledged("writer 0.0", 100 * MS, 110 * MS),
        Acknowledged("writer 0.1", 90 * MS, 120 * MS),
        Acknowledged("writer 0.1", 121 * MS, 7120 * MS),
    ]

    ended = all_served(writes, 95 * MS)

    assert ended == 7120 * MS
    assert longest_gap_ms([one.answered_at for one in writes], 10 * MS, ended) == 7000.0


def test_where_no_writer_wrote_after_the_lift_the_window_ends_with_it() -> None:
    assert all_served([Acknowledged("writer 0.0", 1, 2)], 5) == 5


def test_only_acknowledged_writes_of_writers_to_the_capability_count() -> None:
    def attempt(client: str, capability: str, outcome: Outcome, at: int) -> Attempt:
        return Attempt(client, "PATCH /", (update(capability, "t", {"id": 1}, {}),), at, at, outcome)

    attempts = [
        attempt("writer 0.1", "notes", Outcome.ACKNOWLEDGED, 2),
        attempt("writer 0.1", "notes", Outcome.REFUSED, 3),
        attempt("writer 0.1", "books", Outcome.ACKNOWLEDGED, 4),
        attempt("client 0.1", "notes", Outcome.ACKNOWLEDGED, 5),
    ]

    assert acknowledgements(attempts, "notes") == [Acknowledged("writer 0.1", 2, 2)]
