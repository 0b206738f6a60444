"""A row that stays is deleted, and rows that have moved point at it: a real move, with a process on each side."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from club.move import PURGE, Club, club
from library.programs import run
from library.waiting import until
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
    ground.verify()
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
    assert guest in moved.people()
    assert person not in moved.people()
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


def test_labels_by_content_type_go_too(moved: Club) -> None:
    moved.person(20)
    number = moved.monolith.execute("SELECT id FROM django_content_type WHERE model = 'person'").fetchone()
    assert number is not None
    moved.at_owner(
        "INSERT INTO club_label (content_type_id, object_id) VALUES (%s, 20), (%s, 21), (%s, 20) RETURNING id",
        *(number[0], number[0], number[0] + 1000),
    )

    assert moved.delete("/people/20").status_code == 204

    assert moved.count("club_label") == (2, 2)
    assert moved.count("club_label", f"content_type_id = {number[0]}") == (1, 1)


def test_who_owes_something_is_not_deleted(moved: Club) -> None:
    person = moved.person(30)
    moved.booked(person)
    debt = moved.at_owner("INSERT INTO club_debt (person_id) VALUES (%s) RETURNING id", person)

    answer = moved.delete("/people/30")

    assert (answer.status_code, answer.text) == (409, "ProtectedError")
    assert moved.count("club_booking", "person_id = 30") == (1, 1)
    assert person in moved.people()

    moved.at_owner("DELETE FROM club_debt WHERE id = %s RETURNING id", debt)
    assert moved.delete("/people/30").status_code == 204


def test_a_debt_that_has_not_come_here_yet_protects_too(moved: Club) -> None:
    person = moved.person(31)
    with moved.standing_still():
        moved.service.execute("INSERT INTO club_debt (person_id) VALUES (31)")
        answer = moved.delete("/people/31")

    assert (answer.status_code, answer.text) == (409, "ProtectedError")
    assert person in moved.people()


def test_what_does_not_go_with_anything_restricts(moved: Club) -> None:
    person = moved.person(40)
    booking = moved.booked(person)
    moved.at_owner("INSERT INTO club_deposit (person_id) VALUES (%s) RETURNING id", person)

    answer = moved.delete("/people/40")

    assert (answer.status_code, answer.text) == (409, "RestrictedError")
    assert moved.count("club_booking", f"id = {booking}") == (1, 1)
    assert person in moved.people()


def test_what_is_rolled_back_here_is_not_done_there(moved: Club) -> None:
    person = moved.person(50)
    moved.booked(person)

    assert moved.delete("/people/50/regretted").status_code == 409

    assert moved.count("club_booking", "person_id = 50") == (1, 1)
    assert person in moved.people()


def test_rows_that_have_not_come_here_yet_go_too(moved: Club) -> None:
    person = moved.person(60)
    with moved.standing_still():
        moved.service.execute("INSERT INTO club_booking (person_id) VALUES (60)")
        answer = moved.delete("/people/60")

    assert answer.status_code == 204
    assert person not in moved.people()
    moved.catch_up("service")
    assert moved.count("club_booking", "person_id = 60") == (0, 0)


def test_many_people_at_once_go_as_in_the_admin(moved: Club) -> None:
    for pk in range(70, 75):
        moved.booked(moved.person(pk, "many"))

    assert moved.delete("/people/named/many").status_code == 204

    assert moved.people().isdisjoint(range(70, 75))
    assert moved.count("club_booking", "person_id BETWEEN 70 AND 74") == (0, 0)


def test_a_person_with_more_in_another_table_goes_too(moved: Club) -> None:
    person = moved.person(80)
    moved.monolith.execute("INSERT INTO club_member (person_ptr_id, since) VALUES (80, 1999)")
    moved.booked(person)

    assert moved.delete("/people/80").status_code == 204

    assert moved.count("club_member", "person_ptr_id = 80") == (0, 0)
    assert moved.count("club_booking", "person_id = 80") == (0, 0)


def test_a_command_deletes_as_a_request_does(moved: Club) -> None:
    moved.booked(moved.person(90, "by hand"))

    run([*PURGE, "by hand"], DATABASE_URL=moved.urls[0], DJANGO_SETTINGS_MODULE="clubhouse")

    assert 90 not in moved.people()
    assert moved.count("club_booking", "person_id = 90") == (0, 0)


def test_while_the_owner_is_away_nothing_is_lost(moved: Club) -> None:
    person = moved.person(100)
    moved.booked(person)

    with moved.without_service():
        answer = moved.delete("/people/100")

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert moved.count("club_booking", "person_id = 100") == (1, 1)
    assert moved.count("club_card", "person_id = 100") == (1, 0)
    assert person in moved.people()

    assert moved.delete("/people/100").status_code == 204
    assert moved.count("club_booking", "person_id = 100") == (0, 0)


@pytest.mark.parametrize("cut", [Club.kill_monolith, Club.end_sessions], ids=["the process", "its session"])
def test_what_is_cut_between_the_owner_s_answer_and_the_commit_can_be_done_again(
    moved: Club, cut: Callable[[Club], None]
) -> None:
    """The owner has done its part, and the copy does not show it yet: nothing can be committed before it does."""
    person = moved.person(105)
    moved.booked(person)
    moved.at_owner("INSERT INTO club_remark (person_id) VALUES (%s) RETURNING id", person)

    with ThreadPoolExecutor(1) as client, moved.standing_still():
        asked = client.submit(moved.delete, "/people/105")
        until(lambda: moved.awaits("club_booking"))
        assert moved.count("club_booking", "person_id = 105") == (1, 0)
        cut(moved)
        until(lambda: not moved.is_in_transaction())
    answer = None if asked.exception() else asked.result()
    moved.catch_up("service")

    assert answer is None or answer.status_code == 503, answer.text
    assert person in moved.people()
    assert moved.count("club_card", "person_id = 105") == (1, 0)
    assert moved.count("club_booking", "person_id = 105") == (0, 0)
    assert moved.count("club_remark", "person_id = 105") == (0, 0)
    moved.verify()

    moved.web["monolith"].await_status("/healthz", 200)
    moved.booked(person)
    assert moved.delete("/people/105").status_code == 204
    assert person not in moved.people()
    assert moved.count("club_card", "person_id = 105") == (0, 0)
    assert moved.count("club_booking", "person_id = 105") == (0, 0)


def test_a_commit_that_a_killed_process_has_sent_is_done(moved: Club) -> None:
    person = moved.person(106)
    moved.booked(person)

    with moved.slow_commit() as is_committing, ThreadPoolExecutor(1) as client:
        asked = client.submit(moved.delete, "/people/106")
        until(is_committing)
        moved.kill_monolith()
        assert isinstance(asked.exception(), httpx.TransportError)
    until(lambda: not moved.is_in_transaction())

    assert person not in moved.people()
    assert moved.count("club_booking", "person_id = 106") == (0, 0)
    moved.web["monolith"].await_status("/healthz", 200)
    assert moved.delete("/people/106").status_code == 404


def test_people_come_back_before_their_bookings(moved: Club) -> None:
    with moved.people_move():
        moved.switch(capability="people")
        moved.people_service.execute("INSERT INTO club_person (id, name) VALUES (107, 'by id'), (108, 'by name')")
        for person in (107, 108):
            moved.booked(person)
        moved.verify("people")
        with moved.without_service():
            gate = moved.gate("people")
        assert not gate.open
        assert "club_booking.person_id would be the service's, and people the monolith's" in gate.found
        assert "or reverse desk first" in gate.remedy
        assert moved.gate("people").found == "those of people are sent to the service"

        # On a path of no capability; from then on the process may know for a second only who owned the people before.
        assert moved.delete("/people/named/nobody").status_code == 501
        moved.switch("reverse", capability="people")
        answers = [moved.delete("/people/named/by name"), moved.delete("/people/107")]

        assert [answer.status_code for answer in answers] == [204, 204], [answer.text for answer in answers]
        assert moved.people().isdisjoint({107, 108})
        assert moved.count("club_booking", "person_id IN (107, 108)") == (0, 0)


def test_the_gate_is_shut_while_a_side_cannot_take_part(moved: Club) -> None:
    moved.switch("reverse")
    moved.verify()
    assert moved.gate().found == "those of club_person are sent to the service"

    with moved.without_service():
        gate = moved.gate()

    assert not gate.open
    assert "club_booking.person_id would be the service's, and club_person the monolith's" in gate.found
    assert "the service cannot: http://127.0.0.1:1 does not answer" in gate.found


def test_a_monolith_that_owns_them_again_deletes_in_the_ordinary_way(moved: Club) -> None:
    person = moved.person(110)
    moved.monolith.execute("INSERT INTO club_booking (id, person_id) VALUES (11000, 110)")

    assert moved.delete("/people/110").status_code == 204

    assert person not in moved.people()
    assert moved.count("club_booking", "id = 11000")[0] == 0
    assert moved.count("club_diary", "said = 'booking 11000 of 110 is gone'")[0] == 1
    moved.catch_up("monolith")
    assert moved.count("club_booking", "id = 11000") == (0, 0)
    moved.verify()
    moved.switch()


def test_after_the_way_back_has_ended_deletions_are_sent(moved: Club) -> None:
    moved.complete(drop=False)
    moved.booked(moved.person(120))

    assert moved.delete("/people/120").status_code == 204

    assert moved.count("club_booking", "person_id = 120") == (0, 0)


def test_after_the_old_tables_were_dropped_deletions_are_sent(moved: Club) -> None:
    moved.person(130)
    moved.booked(130)
    moved.service.execute("INSERT INTO club_debt (person_id) VALUES (131)")
    moved.person(131)
    moved.complete(drop=True)

    assert moved.delete("/people/130").status_code == 204
    assert moved.delete("/people/131").status_code == 409
    assert moved.delete("/people/named/somebody").status_code == 409

    assert moved.count("club_booking", "person_id = 130") == (-1, 0)
    assert 130 not in moved.people()
    assert 131 in moved.people()
