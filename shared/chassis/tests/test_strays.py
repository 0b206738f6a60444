"""A request that can never succeed: it writes what another side owns, from a route that stays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from chassis.ownership import owners, strays
from chassis.ownership.holding import Holding
from django.db import DatabaseError, connection
from library.asking import Ask, asking
from library.models import Book, Visit
from library.side import Side
from library.urls import moment
from library.waiting import until

pytestmark = [
    pytest.mark.urls("library.gate"),
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("no_atomic_requests"),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="DATABASE_URL names no PostgreSQL"),
]


@pytest.fixture(autouse=True)
def middleware(settings: Any, holding: Holding, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "chassis.ownership.fence.FenceMiddleware"]
    monkeypatch.setattr(strays, "_notes", strays.Notes())
    moment.passed, moment.planned = 0, None


@pytest.fixture
def ask() -> Iterator[Ask]:
    with asking() as ask:
        yield ask


def noted() -> list[tuple[str, str, str, int]]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT capability, method, route, times FROM strangler.stray ORDER BY method")
        return cursor.fetchall()


def counted(method: str, route: str) -> float:
    return strays.WRITES.labels("books", method, route)._value.get()


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_it_has_an_answer_of_its_own_and_leaves_nothing(side: Side, ask: Ask, method: str) -> None:
    side.hand_over()

    answer = ask("/gate/whole", method).result(60)

    assert answer.status_code == 501
    assert answer.json() == {
        "detail": "This request cannot be done: it changes what another service owns now. "
        "To send it again will not help."
    }
    assert "Retry-After" not in answer
    assert answer["Cache-Control"] == "no-store"
    assert (Visit.objects.count(), Book.objects.count()) == (0, 0)


def test_it_says_so_where_a_part_was_done_and_is_not_run_again(side: Side, ask: Ask) -> None:
    side.hand_over()

    answer = ask("/gate/in-parts").result(60)

    assert answer.status_code == 501
    assert answer.json()["detail"].startswith("Only a part of this request was done")
    assert moment.passed == 1
    assert noted() == [("books", "POST", "/gate/in-parts", 1)]


def test_it_is_logged_counted_and_noted_by_its_route(
    side: Side, ask: Ask, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    side.hand_over()
    before = counted("POST", "/gate/whole")

    for _ in range(3):
        ask("/gate/whole").result(60)

    assert counted("POST", "/gate/whole") == before + 3
    # One note per second and process; the next has those that came meanwhile.
    assert noted() == [("books", "POST", "/gate/whole", 1)]
    monkeypatch.setattr(strays, "NOTED_EVERY_SECONDS", 0)
    ask("/gate/whole?shelf=1").result(60)
    assert noted() == [("books", "POST", "/gate/whole", 4)]
    records = [record for record in caplog.records if record.message == "write_from_a_staying_route"]
    assert [(r.capability, r.method, r.route, r.times) for r in records] == [
        ("books", "POST", "/gate/whole", 1),
        ("books", "POST", "/gate/whole", 3),
    ]


def test_a_method_that_a_client_made_up_is_no_name_of_its_own(side: Side, ask: Ask) -> None:
    side.hand_over()

    assert [ask("/gate/whole", method).result(60).status_code for method in ("BREW", "BREW2")] == [501, 501]

    assert noted() == [("books", "OTHER", "/gate/whole", 1)]


def test_a_tool_that_takes_no_such_note_changes_no_answer(side: Side, ask: Ask) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP FUNCTION strangler.note_use(text, text, text, bigint)")
    side.hand_over()

    assert ask("/gate/whole").result(60).status_code == 501


def test_it_is_held_while_the_owner_is_being_decided_and_answered_when_it_is(
    side: Side, ask: Ask, holding: Holding
) -> None:
    side.fence()

    answer = ask("/gate/whole")
    until(lambda: holding._waiting == 1)
    assert noted() == []
    side.hand_over()

    assert answer.result(60).status_code == 501


def test_a_pause_that_lasts_too_long_is_no_refusal_for_ever(side: Side, ask: Ask, settings: Any) -> None:
    settings.CHASSIS_HOLD_SECONDS = 0.2
    side.fence()

    answer = ask("/gate/whole").result(60)

    assert (answer.status_code, answer["Retry-After"]) == (503, "1")
    assert noted() == []


def test_a_request_that_met_another_switch_is_run_again(side: Side, ask: Ask) -> None:
    """It begins while the other side is the owner, and this side is the owner again before it ends."""
    side.hand_over()

    def there_and_back() -> None:
        side.reopen()
        side.hand_over()
        moment.planned = side.reopen

    moment.planned = there_and_back

    assert ask("/gate/whole").result(60).status_code == 201
    assert moment.passed >= 2
    assert noted() == []


def test_the_owner_s_own_requests_are_led_there_as_ever(side: Side, ask: Ask) -> None:
    side.hand_over()

    assert ask("/books/whole").result(60).status_code == 307
    assert noted() == []


def test_a_command_gets_the_error_itself(side: Side) -> None:
    side.hand_over()

    with pytest.raises(DatabaseError, match=r"books is not open here: write on public\.library_book") as refused:
        Book.objects.create(title="Emma")

    assert owners.refused_capability(refused.value) == "books"
