"""What projects test with: it makes happen what a move would."""

from __future__ import annotations

import pytest
from chassis.models import OutboxMessage
from chassis.ownership import owners
from chassis.sagas.saga import State
from chassis.testing import sides
from chassis.testing.clock import let_deadlines_pass
from chassis.testing.pump import Pump
from chassis.testing.sides import Side
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connection
from library.desk import begin
from library.models import Book, Deed, Loan

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="DATABASE_URL names no PostgreSQL"),
]

BOOKS = ["public.library_book"]
LOANS = ["public.library_loan"]


def test_a_side_is_what_the_tool_would_make_of_it() -> None:
    with Side("books", tables=BOOKS) as side:
        Book.objects.create(id=1, title="Emma")
        side.fence()
        with pytest.raises(DatabaseError) as met:
            Book.objects.create(id=2, title="Persuasion")
        assert owners.refused_capability(met.value) == "books"
        side.arrive("INSERT INTO library_book (id, title) VALUES (%s, %s)", 3, "Sanditon")
        side.hand_over()
        assert owners.sides()["books"].bounce_to == "service"
        side.reopen()
        Book.objects.create(id=4, title="Lady Susan")

    assert set(Book.objects.values_list("id", flat=True)) == {1, 3, 4}


def test_a_row_that_arrives_where_the_side_is_open_is_refused_as_by_the_tool() -> None:
    with (
        Side("books", tables=BOOKS) as side,
        pytest.raises(Exception, match=r"books is open here: replicated row on public\.library_book refused"),
    ):
        side.arrive("INSERT INTO library_book (id, title) VALUES (%s, %s)", 3, "Sanditon")


def test_of_several_sides_each_is_closed_alone() -> None:
    with Side("loans", tables=LOANS, side="service") as loans:
        with Side("books", tables=BOOKS) as books:
            books.hand_over()
            assert (owners.is_open("books"), owners.is_open("loans")) == (False, True)
        loans.hand_over()

        Book.objects.create(id=1, title="Emma")
        assert owners.sides()["loans"].bounce_to == "monolith"
        assert list(owners.sides()) == ["loans"]
    assert not owners.sides()


def test_without_the_tool_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(package: str) -> None:
        raise ModuleNotFoundError(package)

    monkeypatch.setattr(sides, "files", missing)

    with pytest.raises(ImproperlyConfigured, match="install strangler where the tests run"):
        Side("books", tables=BOOKS)


@pytest.mark.usefixtures("places")
class TestPump:
    def test_it_carries_every_message_until_nothing_is_left(self) -> None:
        row = begin()

        pump = Pump()
        pump.run()

        row.refresh_from_db()
        assert row.state == State.DONE
        assert not OutboxMessage.objects.exists()
        assert pump.handled[0][1].type == "stacks.do"

    def test_a_message_may_be_stopped_lost_and_come_again(self) -> None:
        row = begin()
        pump = Pump()

        pump.run(until="till.do")
        lost = pump.take("till.do")
        pump.deliver("till", lost)
        pump.deliver("till", lost)
        pump.run()

        row.refresh_from_db()
        assert row.state == State.DONE
        assert Deed.objects.get(place="till").done == 1

    def test_what_goes_to_others_is_theirs(self) -> None:
        begin()
        heard: list[str] = []

        Pump({"stacks": lambda message: heard.append(message.type)}).run()

        assert heard == ["stacks.do"]

    def test_nothing_to_take_is_told(self) -> None:
        with pytest.raises(AssertionError, match=r"nobody has sent till\.do"):
            Pump().take("till.do")


@pytest.mark.usefixtures("places")
def test_deadlines_pass_when_a_test_says_so() -> None:
    begin()

    assert let_deadlines_pass() == 1
    assert Loan.objects.get().state == State.FAILED
