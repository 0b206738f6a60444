from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pytest
from strangler.domain.traffic import Write, delete, insert, update
from strangler.rehearsal.checker import Fault, check
from strangler.rehearsal.history import confusions, gather
from strangler.rehearsal.journal import Attempt, Outcome
from strangler.rehearsal.ports import Found, Text

KEY = {"title": "a"}
INSERT = insert("notes", "note", KEY, {"stars": 1, "pinned": True})
UPDATE = update("notes", "note", KEY, {"stars": 2})
LATER = update("notes", "note", KEY, {"stars": 3})
DELETE = delete("notes", "note", KEY)
YES, NO, PERHAPS = Outcome.ACKNOWLEDGED, Outcome.REFUSED, Outcome.UNKNOWN
ONE, TWO, THREE = ({"stars": stars, "pinned": "true"} for stars in "123")


class MemoryRows:
    """Rows in a list."""

    def __init__(self, *rows: Mapping[str, Text]) -> None:
        self.rows = rows

    def find(
        self, table: str, key: Sequence[str], columns: Sequence[str], values: Sequence[tuple[Text, ...]]
    ) -> Iterator[Found]:
        for number, wanted in enumerate(values):
            for row in self.rows:
                if tuple(row[column] for column in key) == wanted:
                    yield Found(number, {column: row[column] for column in columns})


def judge(writes: Sequence[tuple[Write, Outcome]], *held: Mapping[str, Text]) -> list[Fault]:
    attempts = [
        Attempt("client", "POST /notes", (write,), place, place, outcome)
        for place, (write, outcome) in enumerate(writes)
    ]
    rows = MemoryRows(*({"title": "a", **row} for row in held))
    return [finding.fault for finding in check(gather(attempts), {"notes": rows})]


@pytest.mark.parametrize(
    ("writes", "held"),
    [
        ([(INSERT, YES)], [ONE]),
        ([(INSERT, NO)], []),
        ([(INSERT, PERHAPS)], []),
        ([(INSERT, PERHAPS)], [ONE]),
        ([(INSERT, YES), (UPDATE, YES)], [TWO]),
        ([(INSERT, YES), (UPDATE, NO)], [ONE]),
        ([(INSERT, YES), (UPDATE, PERHAPS)], [ONE]),
        ([(INSERT, YES), (UPDATE, PERHAPS)], [TWO]),
        ([(INSERT, YES), (DELETE, YES)], []),
        ([(INSERT, YES), (DELETE, PERHAPS)], [ONE]),
        ([(INSERT, YES), (DELETE, PERHAPS)], []),
        ([(UPDATE, YES)], [TWO]),
        ([(UPDATE, NO)], []),
        ([(UPDATE, NO)], [ONE]),
        ([(DELETE, NO)], []),
        ([(UPDATE, NO), (INSERT, YES)], [ONE]),
        ([(UPDATE, PERHAPS)], [ONE]),
    ],
)
def test_what_the_writes_allow_is_no_finding(
    writes: list[tuple[Write, Outcome]], held: list[Mapping[str, Text]]
) -> None:
    assert judge(writes, *held) == []


@pytest.mark.parametrize(
    ("writes", "held", "fault"),
    [
        pytest.param([(INSERT, YES)], [], Fault.LOST, id="an insert is not there"),
        pytest.param([(INSERT, YES)], [TWO], Fault.LOST, id="a value is another"),
        pytest.param([(INSERT, YES), (UPDATE, YES)], [ONE], Fault.LOST, id="an update is undone"),
        pytest.param([(INSERT, YES), (UPDATE, YES), (LATER, PERHAPS)], [ONE], Fault.LOST, id="an older value"),
        pytest.param([(INSERT, YES), (DELETE, YES)], [ONE], Fault.LOST, id="a deletion is undone"),
        pytest.param([(UPDATE, YES)], [], Fault.LOST, id="a row from before is gone"),
        pytest.param([(UPDATE, NO), (UPDATE, YES)], [], Fault.LOST, id="a row that was written later is gone"),
        pytest.param([(INSERT, YES)], [ONE, ONE], Fault.DOUBLED, id="an insert twice"),
        pytest.param([(INSERT, PERHAPS)], [ONE, ONE], Fault.DOUBLED, id="an unanswered insert twice"),
        pytest.param([(INSERT, NO)], [ONE], Fault.DOUBLED, id="a refused insert is there"),
    ],
)
def test_a_broken_promise_is_found(
    writes: list[tuple[Write, Outcome]], held: list[Mapping[str, Text]], fault: Fault
) -> None:
    assert judge(writes, *held) == [fault]


def test_a_finding_says_what_should_be_there_and_what_is() -> None:
    attempts = [Attempt("client", "POST /notes", (INSERT,), 1, 2, YES)]

    (finding,) = check(gather(attempts), {"notes": MemoryRows({"title": "a", **THREE})})

    assert str(finding.place) == "note title=a"
    assert finding.expected == "one row {'stars': '1', 'pinned': 'true'}"
    assert finding.found == ({"pinned": "true", "stars": "3"},)
    assert finding.requests == ("POST /notes (acknowledged)",)


def attempts(*writes: Write) -> list[Attempt]:
    return [Attempt("client", "POST /notes", (write,), place) for place, write in enumerate(writes)]


@pytest.mark.parametrize(
    ("writes", "told"),
    [
        ([INSERT, UPDATE, DELETE], []),
        # Only the answer tells the id, and nothing is found by it.
        ([INSERT, update("notes", "note", KEY, {"id": 7})], []),
        # A row that was there before the rehearsal.
        ([delete("notes", "note", {"id": 7})], []),
        ([insert("notes", "note", KEY, {}), insert("notes", "note", {"title": "b", "stars": 1}, {})], []),
        (
            [INSERT, update("notes", "note", {"id": 7}, {"title": "b"})],
            ["note: rows are found by title, and an update changes it"],
        ),
        ([INSERT, delete("notes", "note", {"id": 7})], ["note: rows are inserted by title, and deleted by id"]),
        # Several are one sentence.
        (
            [INSERT, update("notes", "note", {"id": 7}, {"title": "b"}), delete("notes", "note", {"id": 7})],
            ["note: rows are found by title, and an update changes it"],
        ),
    ],
)
def test_a_row_that_is_written_by_several_keys_is_told(writes: Sequence[Write], told: list[str]) -> None:
    assert confusions(attempts(*writes)) == told
