from __future__ import annotations

from pathlib import Path

from strangler.domain.traffic import Operation, insert
from strangler.rehearsal.journal import Journal, Outcome, read

KEY = {"title": "a"}
WRITE = insert("notes", "note", KEY, {"stars": 1, "pinned": True, "body": None})
POST = Operation("POST", "/notes", writes=(WRITE,))


def test_an_attempt_is_on_file_before_its_answer(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    Journal(path).sent("client 1", POST)

    (attempt,) = read(path).attempts

    assert attempt.writes == (WRITE,)
    assert attempt.request == "POST /notes"
    assert (attempt.outcome, attempt.answered_at) == (Outcome.UNKNOWN, None)


def test_an_answer_settles_its_attempt_and_adds_what_it_told(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal = Journal(path)
    told = insert("notes", "note", {"id": 7}, {})
    first, second = journal.sent("client 1", POST), journal.sent("client 2", POST)
    journal.answered(second, Outcome.REFUSED)
    journal.answered(first, Outcome.ACKNOWLEDGED, [told])

    one, two = read(path).attempts

    assert one.outcome is Outcome.ACKNOWLEDGED
    assert one.writes == (WRITE, told)
    assert one.answered_at is not None
    assert one.answered_at > one.sent_at
    assert two.outcome is Outcome.REFUSED


def test_attempts_of_several_processes_are_read_in_the_order_in_which_they_were_sent(tmp_path: Path) -> None:
    journals = [Journal(tmp_path / "0"), Journal(tmp_path / "1")]
    for turn in range(6):
        journals[turn % 2].sent(f"client {turn}", POST)

    attempts = read(tmp_path / "0", tmp_path / "1").attempts

    assert [attempt.client for attempt in attempts] == [f"client {turn}" for turn in range(6)]


def test_a_line_that_a_killed_process_left_unfinished_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal = Journal(path)
    journal.sent("client 1", POST)
    journal.failed("client 1", POST, "answered 500")
    with path.open("a") as file:
        file.write('{"sent":2,"clie')

    records = read(path)

    assert len(records.attempts) == 1
    assert [failure.detail for failure in records.failures] == ["answered 500"]
