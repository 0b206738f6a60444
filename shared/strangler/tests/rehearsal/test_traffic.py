from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from notes import Readers, Service
from servers import Connection
from strangler.domain.traffic import Behaviour, Operation, insert
from strangler.rehearsal.adapters.http import Connection as Http
from strangler.rehearsal.adapters.rows import PostgresRows
from strangler.rehearsal.checker import Fault, Finding, check
from strangler.rehearsal.history import gather
from strangler.rehearsal.journal import Journal, Records, read
from strangler.rehearsal.selftest import self_test
from strangler.rehearsal.traffic import Session, Tally


class Client:
    """Plays scenarios' clients one after another."""

    def __init__(self, address: str, journal: Path) -> None:
        self.path = journal
        self.tally = Tally()
        self._http = Http(address)
        self._journal = Journal(journal)

    def play(self, behaviour: Behaviour) -> None:
        session = Session("client 1", behaviour, http=self._http, journal=self._journal, tally=self.tally)
        while session.play():
            pass

    def records(self) -> Records:
        return read(self.path)


@pytest.fixture
def client(service: Service, tmp_path: Path) -> Client:
    return Client(service.address, tmp_path / "journal")


def readers(*numbers: int) -> list[Behaviour]:
    return [Readers("run").client(number, Random(number)) for number in numbers]


def findings(client: Client, connection: Connection) -> list[Finding]:
    return check(gather(client.records().attempts), {"notes": PostgresRows(connection)})


def test_a_service_that_keeps_its_promises_passes(client: Client, connection: Connection) -> None:
    for behaviour in readers(*range(20)):
        client.play(behaviour)

    assert client.tally.totals().requests == 60
    assert client.tally.totals().acknowledged == {"notes": 40}
    assert client.records().failures == ()
    assert findings(client, connection) == []


@pytest.mark.parametrize(("fault", "found"), [("lose", {Fault.LOST}), ("double", {Fault.DOUBLED})])
def test_a_write_that_only_the_answer_tells_is_checked_too(
    fault: str, found: set[Fault], service: Service, client: Client, connection: Connection
) -> None:
    def told() -> Behaviour:
        for operation in readers(1)[0]:
            (made,) = operation.writes
            yield replace(operation, writes=(), told=lambda _, made=made: [made])
            return

    service.faults = [fault]

    client.play(told())

    assert client.tally.totals().acknowledged == {"notes": 1}
    assert {finding.fault for finding in findings(client, connection)} == found


@pytest.mark.parametrize(("fault", "found"), [("lose", {Fault.LOST}), ("double", {Fault.DOUBLED}), ("refuse", set())])
def test_a_write_that_is_acknowledged_but_not_done_once_is_found(
    fault: str, found: set[Fault], service: Service, client: Client, connection: Connection
) -> None:
    service.faults = [fault]

    client.play(readers(1)[0])

    assert {finding.fault for finding in findings(client, connection)} == found


@pytest.mark.parametrize(
    ("fault", "detail"),
    [
        ("redirect", "answered 307: Location: http://elsewhere/notes"),
        ("break", 'answered 500: {"detail": "broken"}'),
        ("hang up", "no answer: RemoteDisconnected"),
    ],
)
def test_an_answer_that_is_not_expected_fails_and_ends_the_behaviour(
    fault: str, detail: str, service: Service, client: Client, connection: Connection
) -> None:
    service.faults = [fault]

    client.play(readers(1)[0])

    (failure,) = client.records().failures
    assert failure.detail.startswith(detail)
    assert client.tally.totals().requests == 1
    assert client.tally.totals().failed == 1
    assert findings(client, connection) == [], "it may have happened or not"


def test_a_connection_that_was_cut_is_opened_anew_by_the_next_request(
    service: Service, client: Client, connection: Connection
) -> None:
    service.faults = ["hang up"]
    client.play(readers(1)[0])

    client.play(readers(2)[0])

    assert client.tally.totals().failed == 1
    assert client.tally.totals().requests == 4


def test_a_misread_answer_fails(client: Client) -> None:
    def behaviour() -> Behaviour:
        answer = yield Operation("GET", "/notes")
        answer.json()["missing"]

    client.play(behaviour())

    assert "misread: KeyError('missing')" in client.records().failures[0].detail


def test_a_form_is_sent_as_a_browser_does_and_acknowledged_by_the_page_that_it_leads_to(
    client: Client, connection: Connection
) -> None:
    cookies: list[Mapping[str, str]] = []

    def behaviour() -> Behaviour:
        answer = yield Operation("GET", "/notes")
        cookies.append(answer.cookies)
        form = {"title": "a & b", "body": None, "stars": 3, "pinned": False}
        made = insert("notes", "note", {"title": "a & b"}, {"body": "", "stars": 3})
        yield Operation("POST", "/notes", form=form, expected={302}, writes=(made,))

    client.play(behaviour())

    assert cookies == [{"sessionid": "s1", "csrftoken": "c1"}]
    assert client.tally.totals().acknowledged == {"notes": 1}
    assert client.records().failures == ()
    assert findings(client, connection) == []


def test_the_self_test_sees_each_damage_and_leaves_none(client: Client, connection: Connection) -> None:
    for behaviour in readers(1, 2, 3, 4):
        client.play(behaviour)

    result = self_test(gather(client.records().attempts), {"notes": PostgresRows(connection)})

    assert result.passed
    assert [what.split()[0] for what in result.spoilt] == ["corrupted", "dropped", "doubled"]
    assert findings(client, connection) == []


def test_the_self_test_does_not_pass_on_nothing(client: Client, connection: Connection) -> None:
    client.play(readers(1)[0])

    assert not self_test(gather(client.records().attempts), {"notes": PostgresRows(connection)}).passed
