"""What an owner's answers say of its log, and which reads a copy answers because of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from chassis import agreement
from chassis.agreement import CAPABILITY, KEPT, POSITION, READS, ROUTE, SEEN, TO, WROTE
from chassis.ownership import owners, positions
from chassis.ownership.positions import Beat, Position, read_beat
from chassis.testing.sides import Side
from django.db import connection
from django.test import Client, override_settings
from strangler.domain import position as tool

TABLES = ["public.library_book"]
FENCED = override_settings(MIDDLEWARE=["chassis.ownership.fence.FenceMiddleware"], ALLOWED_HOSTS=["*"])
SECRET = """
INSERT INTO strangler.secret (capability, secret, place) VALUES (%s, 'between us',
    (SELECT c.system_identifier || '/' || d.oid FROM pg_control_system() c, pg_database d
     WHERE d.datname = current_database()))
"""
BEAT = (
    "INSERT INTO strangler.marker (capability, id, written_at) VALUES ('books', %s, now() - %s * interval '1 second')"
)
pytestmark = [
    pytest.mark.urls("library.urls"),
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="DATABASE_URL names no PostgreSQL"),
]


class Here:
    """This database as a side of the move of books, and a customer with cookies."""

    def __init__(self) -> None:
        self.side = Side("books", tables=TABLES, routes=[("GET,POST", "/books.*")], side="service")
        self.side.execute(SECRET, "books")
        self.customer = Client()

    def be_the_owner(self) -> None:
        self.side.execute("UPDATE strangler.side SET open = true, bounce_to = NULL WHERE capability = 'books'")

    def be_the_copy(self) -> None:
        self.side.execute("UPDATE strangler.side SET open = false, bounce_to = 'monolith' WHERE capability = 'books'")

    def beat(self, *, age: float = 0.0, ahead: int = 0, timeline: int | None = None, epoch: int | None = None) -> None:
        """A heartbeat arrives: the log had come to its present end, and so many bytes more."""
        with connection.cursor() as cursor:
            cursor.execute(agreement.POSITION_NOW)
            told, lsn = cursor.fetchone()
        at = tool.Position(epoch or self.side.epoch, timeline or int(told, 16), int(lsn) + ahead)
        self.side.execute("DELETE FROM strangler.marker")
        self.side.execute(BEAT, tool.as_id(at), age)

    def read(self, **headers: str) -> Any:
        """A read that the gateway has sent to the copy."""
        return self.customer.get("/books", headers={READS: "books", **headers})


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[Here]:
    monkeypatch.setattr(owners, "_present", set())
    positions.forget()
    with FENCED:
        found = Here()
        found.side.share_reads(wait=0.02)
        yield found
        found.side.remove()


def is_led_on(answer: Any) -> bool:
    if answer.status_code != 307:
        assert answer.status_code < 300, answer.content
        return False
    assert (answer[TO], answer[CAPABILITY]) == ("monolith", "books")
    return True


def test_both_read_heartbeats_alike() -> None:
    for lsn in (0, 1, 0xF, 0x10, 0xFFFF, 0x10000, 0x1234567890ABCDEF, (1 << 64) - 1):
        for timeline, epoch in ((1, 1), (7, 300), (0xFFFFFF, 0xFFFFFF)):
            id = tool.as_id(tool.Position(epoch, timeline, lsn))
            assert str(id)[14] == "8"
            assert tool.read_id(UUID(str(id))) == tool.Position(epoch, timeline, lsn)
            assert read_beat(str(id)) == Position(epoch, timeline, lsn)


@pytest.mark.parametrize(
    ("position", "covered"),
    [
        (Position(3, 1, 100), True),
        (Position(3, 1, 99), True),
        (Position(3, 1, 101), False),
        (Position(4, 1, 1), False),
        (Position(3, 2, 1), False),
    ],
)
def test_a_heartbeat_covers_what_was_before_it_in_its_epoch_and_timeline(position: Position, covered: bool) -> None:
    assert Beat(Position(3, 1, 100), 0.0).covers(position) is covered


def test_an_owner_gives_positions_only_while_reads_are_shared(here: Here) -> None:
    assert SEEN + "books" in here.customer.get("/books").cookies
    written = here.customer.post("/books", {"title": "one"})
    assert set(written.cookies) == {WROTE + "books"}
    assert written[POSITION].startswith("books:")
    assert "private" in written["Cache-Control"]
    here.side.execute("UPDATE strangler.side SET reads = '{}'")
    assert not here.customer.get("/books").cookies


def test_other_routes_of_the_owner_give_positions_too(here: Here) -> None:
    assert SEEN + "books" in here.customer.get("/elsewhere").cookies


def test_a_copy_answers_what_it_has_and_leads_on_what_it_has_not(here: Here) -> None:
    here.customer.post("/books", {"title": "one"})
    here.be_the_copy()
    assert is_led_on(here.read()), "without a heartbeat nobody knows"
    here.side.execute("SELECT pg_switch_wal()")
    here.beat()
    assert not is_led_on(here.read())
    here.be_the_owner()
    here.customer.post("/books", {"title": "two"})
    here.be_the_copy()
    assert is_led_on(here.read()), "the second is behind the heartbeat"
    here.beat()
    assert not is_led_on(here.read())


def test_a_copy_that_is_too_old_answers_nobody(here: Here) -> None:
    here.be_the_copy()
    here.beat(age=6.0, ahead=1 << 30)
    assert is_led_on(here.read())
    here.beat(age=1.0)
    assert not is_led_on(here.read())


def test_positions_of_another_epoch_or_log_mean_nothing(here: Here) -> None:
    here.customer.post("/books", {"title": "one"})
    here.be_the_copy()
    here.beat(ahead=1 << 30, timeline=9)
    assert is_led_on(here.read()), "a restored database"
    here.beat(ahead=1 << 30, epoch=7)
    assert is_led_on(here.read())
    here.beat(ahead=1 << 30)
    assert not is_led_on(here.read())
    here.side.execute("UPDATE strangler.side SET epoch = 2")
    assert is_led_on(here.read()), "reads are shared for another epoch"


@pytest.mark.parametrize("token", ["", "0", "x.y", "MS4xLjEuMQ.AAAA", "é"])
def test_a_position_that_is_forged_leads_to_the_owner(here: Here, token: str) -> None:
    here.be_the_copy()
    here.beat(ahead=1 << 30)
    assert not is_led_on(here.read())
    here.customer.cookies[SEEN + "books"] = token
    assert is_led_on(here.read())


def test_a_position_expires(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    here.customer.get("/books")
    here.be_the_copy()
    here.beat(ahead=1 << 30)
    assert not is_led_on(here.read())
    now = positions.time.time()
    monkeypatch.setattr(positions.time, "time", lambda: now + positions.LEAST_SECONDS + 10)
    assert is_led_on(here.read())


def test_a_program_sends_the_header_back(here: Here) -> None:
    told = here.customer.get("/books")[POSITION]
    here.customer.cookies.clear()
    here.be_the_copy()
    here.beat()
    known = {"authorization": "Bearer x"}
    assert not is_led_on(here.read(**{POSITION: told, **known}))
    assert is_led_on(here.read(**known)), "it may have lost one"
    assert not is_led_on(here.read(**known, **{ROUTE: "service"})), "a tester has chosen"
    assert not is_led_on(here.read()), "nobody knows this customer"
    here.customer.cookies[KEPT] = "12345678-1234"
    assert not is_led_on(here.read(**known)), "it keeps cookies"
    here.customer.cookies.clear()
    here.side.share_reads(trusting=True)
    assert not is_led_on(here.read(**known))


def test_a_new_customer_who_is_led_on_stays_at_the_side_that_was_chosen(here: Here) -> None:
    led = {TO: "service", "x-request-id": "12345678-1234"}
    assert here.read(**led).cookies[KEPT].value == "12345678-1234"
    assert KEPT not in here.read(**{**led, "x-request-id": "a; Domain=x"}).cookies
    assert KEPT not in here.read(**led, **{ROUTE: "service"}).cookies


def test_a_read_that_nobody_has_shared_is_led_on(here: Here) -> None:
    here.be_the_copy()
    here.beat(ahead=1 << 30)
    assert is_led_on(here.customer.get("/books"))


def test_a_copy_that_is_gone_leads_to_the_owner(here: Here) -> None:
    here.side.execute("DELETE FROM strangler.side")
    assert is_led_on(here.read())


def test_in_the_pause_a_copy_answers_only_what_it_has(here: Here) -> None:
    here.customer.post("/books", {"title": "one"})
    here.be_the_copy()
    here.side.execute("UPDATE strangler.side SET bounce_to = NULL")
    here.beat()
    assert not is_led_on(here.read())


def test_events_are_held_by_the_tools_own_table(here: Here) -> None:
    """Its table has a column ``side``: an alias of that name would mean the column."""
    with connection.cursor() as cursor:
        here.side.execute("UPDATE strangler.side SET events_held = true")
        cursor.execute(agreement.EVENTS_HELD)
        assert cursor.fetchall() == [("books",)]
        cursor.execute(agreement.SIDES)
        assert json.loads(cursor.fetchone()[-1])["epoch"] == 1
