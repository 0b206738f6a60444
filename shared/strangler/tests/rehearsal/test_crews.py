from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from notes import Service
from strangler.rehearsal.adapters.crew import Assignment
from strangler.rehearsal.adapters.crews import Crews
from strangler.rehearsal.conduct import RehearsalError
from strangler.rehearsal.journal import read

HERE = Path(__file__).parent
Start = Callable[[str], AbstractContextManager[Crews]]


@pytest.fixture
def start(service: Service, tmp_path: Path) -> Start:
    @contextmanager
    def crews(scenario: str) -> Iterator[Crews]:
        assignments = [
            Assignment(
                root=str(HERE),
                scenario=scenario,
                run="run",
                gateway=service.address,
                journal=str(tmp_path / f"journal-{process}"),
                process=process,
                processes=2,
                clients=2,
                writers=1,
                think=0.01,
            )
            for process in range(2)
        ]
        with (tmp_path / "log").open("wb") as log, Crews(assignments, errors=log) as traffic:
            yield traffic

    return crews


def test_clients_of_all_processes_are_counted_and_journalled(start: Start, tmp_path: Path) -> None:
    with start("notes:Readers") as traffic:
        traffic.wait(lambda totals: totals.requests >= 100, within=60)
        codes = traffic.end()
        totals = traffic.totals()

    records = read(tmp_path / "journal-0", tmp_path / "journal-1")
    titles = [write.key["title"] for attempt in records.attempts for write in attempt.writes if write.values]
    assert codes == [0, 0]
    assert totals.failed == 0
    assert totals.acknowledged["notes"] == len(records.attempts)
    assert {attempt.client for attempt in records.attempts} == {
        f"client {process}.{slot}" for process in (0, 1) for slot in (0, 1)
    }
    assert all(attempt.answered_at for attempt in records.attempts)
    assert titles


def test_writers_write_only_while_they_are_told_to(start: Start) -> None:
    with start("notes:Readers") as traffic:
        traffic.wait(lambda totals: totals.requests >= 20, within=60)
        assert traffic.totals().writers == {}
        traffic.set_writers("notes")
        traffic.wait(lambda totals: len(totals.writers) == 2 and min(totals.writers.values()) >= 20, within=60)
        traffic.set_writers(None)
        traffic.end()


def test_a_scenario_with_a_mistake_ends_the_rehearsal(start: Start, tmp_path: Path) -> None:
    with start("notes:Broken") as traffic:
        with pytest.raises(RehearsalError, match="a process of the traffic died"):
            traffic.wait(lambda totals: totals.requests >= 1, within=60)
        codes = traffic.end()

    assert 70 in codes
    assert "AssertionError: a mistake" in (tmp_path / "log").read_text()
