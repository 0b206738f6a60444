"""Notes of requests that wrote what the other side owns, from routes that stay."""

from __future__ import annotations

import pytest
from strangler.application.ending import cancel
from yard import Yard, refused

NOTE = "SELECT strangler.note_use('crates', %s, %s, %s)"
NOTES = "SELECT method, route, times FROM strangler.stray ORDER BY route"


def test_doctor_names_the_route_for_a_week_and_it_goes_with_the_move(moving: Yard) -> None:
    moving.switch()
    with moving.monolith() as connection:
        for times in (1, 40):
            connection.execute(NOTE, ("GET", "/visits", times))
        connection.execute(NOTE, ("POST", "/old", 1))
        connection.execute("UPDATE strangler.stray SET seen_at = now() - interval '8 days' WHERE route = '/old'")

        [finding] = moving.doctor()
        assert (finding.id, finding.place) == ("write-from-a-staying-route", "crates")
        assert "GET /visits wrote a table of crates in the database yard" in finding.message
        assert "41 times" in finding.message

        moving.switch("reverse")
        with moving.working() as parts:
            cancel(parts)
        assert connection.execute(NOTES).fetchall() == []
    assert moving.doctor() == []


def test_nothing_is_noted_where_the_capability_is_open_or_its_owner_is_being_decided(moving: Yard) -> None:
    with moving.monolith() as connection:
        connection.execute(NOTE, ("GET", "/open", 1))
        connection.execute("UPDATE strangler.side SET open = false, bounce_to = NULL")
        connection.execute(NOTE, ("GET", "/undecided", 1))
        connection.execute("UPDATE strangler.side SET open = true")

        assert connection.execute(NOTES).fetchall() == []


@pytest.mark.parametrize(("age", "last"), [("1 day", "/99"), ("8 days", "/new")])
def test_there_are_only_so_many_notes(moving: Yard, age: str, last: str) -> None:
    moving.switch()
    with moving.monolith() as connection:
        for number in range(100):
            connection.execute(NOTE, ("GET", f"/{number:02}", 1))
        connection.execute(f"UPDATE strangler.stray SET seen_at = now() - interval '{age}'".encode())
        connection.execute(NOTE, ("GET", "/new", 1))
        connection.execute(NOTE, ("m" * 99, "r" * 9999, 10**18))
        connection.execute(NOTE, (None, "/new", 1))

        rows = connection.execute(NOTES).fetchall()
        assert len(rows) <= 100
        assert last in {route for _, route, _ in rows}
        assert all(len(method) <= 16 and len(route) <= 300 and times <= 10**6 for method, route, times in rows)


@pytest.mark.parametrize("known", [False, True])
def test_who_keeps_such_a_note_open_keeps_nobody_waiting(moving: Yard, known: bool) -> None:
    moving.switch()
    with moving.monolith() as connection, moving.monolith() as holder:
        if known:
            connection.execute(NOTE, ("GET", "/visits", 1))
        holder.autocommit = False
        holder.execute(NOTE, ("GET", "/visits", 1))

        connection.execute("SET statement_timeout = '20s'")
        assert refused(connection, "SELECT strangler.note_use('crates', 'GET', '/visits', 1)") is None
