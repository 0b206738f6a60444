"""A row that stays is deleted, and rows that have moved point at it: a real move, with a process on each side."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from club.move import PURGE, Club, club
from library.programs import run
from server_node import ServerNode

pytestmark = pytest.mark.skipif("DATABASE_URL" not in os.environ, reason="DATABASE_URL names no PostgreSQL")


@pytest.fixture(scope="module")
def ground(shared_server: ServerNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Club]:
    shared_server.start()
    with club(shared_server, tmp_path_factory.mktemp("club")) as made:
        yield made


@pytest.fixture(scope="module")
def moved(ground: Club) -> Club:
    """The service has the bookings."""
    ground.start()
    ground.switch()
    return ground


def test_what_points_at_a_person_goes_with_the_person_on_both_sides(moved: Club) -> None:
    person, guest = moved.person(10), moved.person(11)
    booking, others = moved.booked(person), moved.booked(guest, guest=person)
    moved.at_owner("INSERT INTO club_remark (person_id) VALUES (%s) RETURNING id", person)
    moved.at_owner("INSERT INTO club_review (person_id) VALUES (%s) RETURNING id", person)
    moved.at_owner("INSERT INTO club_swipe (badge_id) VALUES ('badge 10'), ('badge 11') RETURNING id")
    moved.at_owner("INSERT INTO club_deposit (person_id, booking_id) VALUES (%s, %s) RETURNING id", person, booking)

    answer = moved.delete("/people/10")

    assert answer.status_code == 204, answer.text
    assert moved.people() >= {guest} and person not in moved.people()
    assert moved.count("club_card", "person_id = 10") == (0, 0)
    assert moved.count("club_booking", f"id = {booking}") == (0, 0)
    assert moved.count("club_hour", f"booking_id = {booking}") == (0, 0)
    assert moved.count("club_deposit", f"booking_id = {booking}") == (0, 0)
    assert moved.count("club_booking_guests", f"booking_id = {others}") == (0, 0)
    assert moved.count("club_booking", f"id = {others}") == (1, 1)
    assert moved.count("club_remark", "person_id IS NULL") == (1, 1)
    assert moved.count("club_review", "person_id = 1") == (1, 1)
    assert moved.count("club_swipe", "badge_id = 'badge 10'") == (0, 0)
    assert moved.count("club_swipe", "badge_id = 'badge 11'") == (1, 1)
    moved.catch_up("service")
    assert moved.count("club_diary", f"said = 'booking {booking} of 10 is gone'") == (1, 1)
