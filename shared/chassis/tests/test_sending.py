"""When a deletion is sent to the owner, when it is not, and who is believed that asks for one."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from chassis import agreement
from chassis.ownership import owners, sealing
from chassis.ownership.fence import FenceMiddleware
from chassis.ownership.refusals import PutOffError
from chassis.process.tracing import TraceMiddleware
from chassis.references import asking
from chassis.testing.sides import Side
from club.models import NOBODY, Booking, Card, Debt, Hour, Member, Person, Remark
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.db.models import CASCADE, SET, ProtectedError
from django.http import HttpResponse
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from library.peer import Peer
from library.recorded import Recorded

pytestmark = [
    pytest.mark.skipif(connection.vendor != "postgresql", reason="DATABASE_URL names no PostgreSQL"),
    pytest.mark.django_db(transaction=True),
]

TABLES = [
    f"public.club_{name}"
    for name in (*("booking", "booking_guests", "hour", "remark", "review"), *("swipe", "debt", "deposit", "label"))
]
SECRET = "only-for-tests"
PLACE = """
(SELECT c.system_identifier || '/' || d.oid FROM pg_control_system() c, pg_database d
 WHERE d.datname = current_database())
"""


@pytest.fixture
def peer() -> Iterator[Peer]:
    with Peer(status=200) as peer:
        yield peer


@pytest.fixture
def desk(peer: Peer, transactional_db, settings) -> Iterator[Side]:
    """The bookings, which the service has."""
    settings.CHASSIS_HOLD_SECONDS = 0.3
    with Side("desk", tables=TABLES, peer=peer.url) as side:
        side.execute(f"INSERT INTO strangler.secret VALUES ('desk', %s, {PLACE})", SECRET)
        side.hand_over()
        owners.forget()
        yield side


@pytest.fixture
def person(transactional_db) -> Person:
    return Person.objects.create(pk=10, name="Ada", badge="ten")


def kinds(peer: Peer) -> list[str]:
    return [json.loads(one.body)["kind"] for one in peer.received]


def asked(peer: Peer) -> dict[str, tuple[str, Any, Any]]:
    """By table and columns, what the first deletion asked for."""
    content = next(json.loads(one.body) for one in peer.received if b'"delete"' in one.body)
    return {
        f"{item['table']} {' '.join(item['columns'])}": (item["action"], item["value"], item["keys"])
        for item in content["items"]
    }


def test_where_nothing_moves_the_collector_does_what_it_did(person: Person) -> None:
    owners.forget()
    Card.objects.create(person=person)
    with CaptureQueriesContext(connection) as queries:
        Card.objects.all().delete()

    assert [query["sql"].partition(" ")[0] for query in queries.captured_queries] == ["BEGIN", "DELETE", "COMMIT"]


def test_each_relation_is_told_with_what_its_model_says(desk: Side, peer: Peer, person: Person) -> None:
    person.delete()

    labels = asked(peer).pop("club_label content_type_id object_id")
    assert (labels[0], labels[2][0][1]) == ("CASCADE", "10")
    assert {name: told for name, told in asked(peer).items() if "label" not in name} == {
        "club_booking person_id": ("CASCADE", None, [["10"]]),
        "club_booking_guests person_id": ("CASCADE", None, [["10"]]),
        "club_remark person_id": ("SET", None, [["10"]]),
        "club_review person_id": ("SET", "1", [["10"]]),
        "club_swipe badge_id": ("CASCADE", None, [["ten"]]),
        "club_debt person_id": ("PROTECT", None, [["10"]]),
        "club_deposit person_id": ("RESTRICT", None, [["10"]]),
    }
    assert kinds(peer) == ["ask", "delete", "delete"]


def protect_in_its_own_words(collector: Any, field: Any, sub_objs: Any, using: str) -> None:
    raise ProtectedError("No.", set(sub_objs))


def give_to_nobody(collector: Any, field: Any, sub_objs: Any, using: str) -> None:
    collector.add_field_update(field, NOBODY, sub_objs)


def do_nothing(collector: Any, field: Any, sub_objs: Any, using: str) -> None:
    """As its name says."""


def cascade_in_its_own_way(collector: Any, field: Any, sub_objs: Any, using: str) -> None:
    CASCADE(collector, field, sub_objs, using)


def count(collector: Any, field: Any, sub_objs: Any, using: str) -> None:
    collector.counts[field] += len(sub_objs)


@pytest.mark.parametrize(
    ("on_delete", "told"),
    [
        (protect_in_its_own_words, ("PROTECT", None)),
        (give_to_nobody, ("SET", "1")),
        (do_nothing, None),
        (cascade_in_its_own_way, ("CASCADE", None)),
        (SET(Person(pk=7)), ("SET", "7")),
    ],
)
def test_a_project_s_own_on_delete_is_told_by_what_it_does(
    desk: Side, peer: Peer, person: Person, monkeypatch: pytest.MonkeyPatch, on_delete: Any, told: Any
) -> None:
    monkeypatch.setattr(Remark._meta.get_field("person").remote_field, "on_delete", on_delete)

    person.delete()

    assert asked(peer).get("club_remark person_id", (None, None))[:2] == (told or (None, None))


def test_an_on_delete_that_cannot_be_told_is_named(
    desk: Side, peer: Peer, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Remark._meta.get_field("person").remote_field, "on_delete", count)

    with pytest.raises(ImproperlyConfigured, match=r"club\.Remark\.person: its on_delete does something"):
        person.delete()

    assert Person.objects.exists()


def test_a_child_in_a_table_of_its_own_is_told_by_its_parent_s_key(desk: Side, peer: Peer) -> None:
    Member.objects.create(pk=12, name="Bea", badge="twelve")

    Member.objects.all().delete()

    assert asked(peer)["club_booking person_id"][2] == [["12"]]
    assert not Person.objects.filter(pk=12).exists()


def test_nothing_is_sent_before_the_commit_nor_after_a_rollback(desk: Side, peer: Peer, person: Person) -> None:
    with transaction.atomic():
        person.delete()
        assert kinds(peer) == ["ask"]
        transaction.set_rollback(True)
    with transaction.atomic():
        with transaction.atomic():
            Person.objects.get().delete()
            transaction.set_rollback(True)
        Card.objects.create(person_id=10)

    assert kinds(peer) == ["ask", "ask"]
    assert Person.objects.exists()


def test_several_deletions_of_a_transaction_are_sent_together(desk: Side, peer: Peer, person: Person) -> None:
    Person.objects.create(pk=11, name="Bea")
    with transaction.atomic():
        for one in Person.objects.order_by("pk"):
            one.delete()

    assert asked(peer)["club_booking person_id"][2] == [["10"], ["11"]]
    assert kinds(peer) == ["ask", "ask", "delete", "delete", "delete"]


def test_what_does_not_go_here_in_time_puts_the_deletion_off(desk: Side, peer: Peer, person: Person) -> None:
    desk.arrive("INSERT INTO club_booking (id, person_id) VALUES (1, 10)")

    with pytest.raises(PutOffError, match=r"rows of club_booking\.person_id have not gone here in time"):
        person.delete()

    assert Person.objects.filter(pk=10).exists()
    desk.arrive("DELETE FROM club_booking")
    assert Person.objects.get(pk=10).delete()[0] == 1


def test_a_transaction_with_an_old_snapshot_sees_that_they_went(
    desk: Side, peer: Peer, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.arrive("INSERT INTO club_booking (id, person_id) VALUES (1, 10)")
    ask = asking._ask
    monkeypatch.setattr(asking, "_ask", lambda *args: (ask(*args), desk.arrive("DELETE FROM club_booking")))

    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        assert Booking.objects.count() == 1
        person.delete()

    assert not Person.objects.exists()


def test_a_row_that_comes_at_the_last_moment_puts_it_off(
    desk: Side, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = asking.send

    def send_and_receive(noted: Any, kind: Any, using: str) -> None:
        send(noted, kind, using)
        if kind == "ask":
            return
        desk.arrive("INSERT INTO club_booking (id, person_id) VALUES (1, 10) ON CONFLICT DO NOTHING")

    monkeypatch.setattr(asking, "send", send_and_receive)

    with pytest.raises(PutOffError, match="have just come"):
        person.delete()

    assert Person.objects.filter(pk=10).exists()


def test_another_row_that_points_nowhere_is_the_project_s_own_fault(desk: Side, peer: Peer, person: Person) -> None:
    @transaction.atomic
    def point_nowhere() -> None:
        person.delete()
        Card.objects.create(person_id=999)

    with pytest.raises(IntegrityError, match="club_card"):
        point_nowhere()

    assert Person.objects.exists()


def test_a_constraint_that_is_checked_at_once_makes_the_owner_go_first(desk: Side, peer: Peer, person: Person) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT conname FROM pg_constraint WHERE conrelid = 'club_booking'::regclass AND contype = 'f'")
        name = cursor.fetchone()[0]
        cursor.execute(f"ALTER TABLE club_booking ALTER CONSTRAINT {name} NOT DEFERRABLE")
    try:
        with transaction.atomic():
            person.delete()
            assert kinds(peer) == ["ask", "delete"]
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE club_booking ALTER CONSTRAINT {name} DEFERRABLE INITIALLY DEFERRED")

    assert kinds(peer) == ["ask", "delete", "delete"]


def test_while_nobody_knows_who_the_owner_is_the_fence_refuses(desk: Side, peer: Peer, person: Person) -> None:
    desk.reopen()
    Booking.objects.create(person=person)
    desk.fence()
    owners.forget()

    with pytest.raises(DatabaseError, match="desk is not open here"):
        person.delete()

    assert peer.received == []


def test_rows_of_the_other_side_are_not_deleted_here(desk: Side, peer: Peer, person: Person) -> None:
    desk.arrive("INSERT INTO club_booking (id, person_id) VALUES (1, 10)")
    desk.arrive("INSERT INTO club_hour (booking_id) VALUES (1)")

    with pytest.raises(DatabaseError, match="desk is not open here"):
        Booking.objects.get().delete()

    assert peer.received == []
    assert Hour.objects.exists()


def test_a_copy_that_protects_is_looked_at_without_a_question(desk: Side, peer: Peer, person: Person) -> None:
    desk.arrive("INSERT INTO club_debt (person_id) VALUES (10)")

    with pytest.raises(Exception, match="referenced through protected foreign keys"):
        person.delete()

    assert peer.received == []
    assert Debt.objects.exists()


@pytest.mark.parametrize("lost", ["DELETE FROM strangler.secret", "UPDATE strangler.secret SET place = '7/7'"])
def test_without_a_secret_of_this_database_it_says_how_to_get_one(
    desk: Side, peer: Peer, person: Person, lost: str
) -> None:
    desk.execute(lost)

    with pytest.raises(PutOffError, match="run `strangler verify` with the present tool"):
        person.delete()

    assert peer.received == []


@pytest.mark.parametrize("status", [404, 500, 503])
def test_a_peer_that_does_not_do_it_is_named_with_what_it_said(
    desk: Side, peer: Peer, person: Person, status: int
) -> None:
    peer.status = status

    with pytest.raises(PutOffError, match=f"answered {status}: done"):
        person.delete()

    assert Person.objects.exists()


class TestTheRequest:
    """As the middleware answers it."""

    def test_is_put_off_whatever_the_view_does_with_the_error(self, desk: Side, peer: Peer, person: Person) -> None:
        peer.status = 500

        def view(request: Any) -> HttpResponse:
            with suppress(PutOffError):
                Person.objects.all().delete()
            return HttpResponse(status=204)

        answer = FenceMiddleware(view)(RequestFactory().delete("/people/10"))

        assert (answer.status_code, answer["Retry-After"]) == (503, "1")
        assert Person.objects.exists()

    def test_has_an_event_that_names_whose_owner_has_not_done_its_part(
        self, desk: Side, peer: Peer, person: Person, recorded: Recorded
    ) -> None:
        peer.status = 500

        def view(request: Any) -> HttpResponse:
            Person.objects.all().delete()
            return HttpResponse(status=204)

        TraceMiddleware(FenceMiddleware(view))(RequestFactory().delete("/people/10"))

        assert recorded.events("strangler.put_off") == [
            {
                "strangler.capability": "desk",
                "strangler.epoch": 2,
                "strangler.side": "monolith",
                "strangler.open": False,
            }
        ]

    def test_is_half_done_if_it_had_committed_something_before(self, desk: Side, peer: Peer, person: Person) -> None:
        peer.status = 500

        def view(request: Any) -> HttpResponse:
            Card.objects.create(person=person)
            with suppress(PutOffError):
                Person.objects.all().delete()
            return HttpResponse(status=204)

        answer = FenceMiddleware(view)(RequestFactory().delete("/people/10"))

        assert answer.status_code == 503
        assert "Retry-After" not in answer
        assert Person.objects.exists()
        assert Card.objects.exists()

    def test_is_run_again_when_the_owner_has_changed(
        self, desk: Side, peer: Peer, person: Person, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        peer.status = 409
        Remark.objects.none()
        original = asking._ask

        def change(*args: Any) -> None:
            try:
                original(*args)
            finally:
                desk.reopen()

        monkeypatch.setattr(asking, "_ask", change)
        runs = []

        def view(request: Any) -> HttpResponse:
            runs.append(1)
            Person.objects.all().delete()
            return HttpResponse(status=204)

        answer = FenceMiddleware(view)(RequestFactory().delete("/people/10"))

        assert (answer.status_code, len(runs)) == (204, 2)
        assert not Person.objects.exists()


class TestTheOwner:
    """Answers the other side and nobody else."""

    @pytest.fixture
    def own(self, desk: Side) -> Side:
        desk.reopen()
        return desk

    def ask(self, content: dict[str, Any], *, secret: str = SECRET, capability: str = "desk") -> HttpResponse:
        body, signature = sealing.seal(secret, {"epoch": 1, "items": [], **content})
        return self.post(body, signature, capability)

    def post(self, body: bytes, signature: str, capability: str = "desk") -> HttpResponse:
        headers = {agreement.CAPABILITY: capability, agreement.SIGNATURE: signature}
        request = RequestFactory().post(agreement.DELETIONS, body, content_type="application/json", headers=headers)
        answer = FenceMiddleware(lambda _: HttpResponse(status=418))(request)
        assert isinstance(answer, HttpResponse)
        return answer

    def bookings(self, *keys: str, table: str = "club_booking") -> dict[str, Any]:
        item = {"table": table, "columns": ["person_id"], "keys": [[key] for key in keys], "action": "CASCADE"}
        return {"kind": "delete", "items": [{**item, "value": None}]}

    def test_does_it_with_cascades_and_receivers_and_may_be_asked_again(self, own: Side, person: Person) -> None:
        Hour.objects.create(booking=Booking.objects.create(person=person))

        assert json.loads(self.ask(self.bookings("10")).content) == {"rows": 2}
        assert json.loads(self.ask(self.bookings("10")).content) == {"rows": 0}
        assert not Hour.objects.exists()

    def test_believes_no_other_secret_capability_or_body(self, own: Side, person: Person) -> None:
        Booking.objects.create(person=person)
        body, signature = sealing.seal(SECRET, {"epoch": 1, **self.bookings("10")})

        answers = [
            self.ask(self.bookings("10"), secret="guessed"),
            self.ask(self.bookings("10"), capability="till"),
            self.post(body, ""),
            self.post(body, "é"),
            self.post(body + b" ", signature),
        ]

        assert [answer.status_code for answer in answers] == [403] * 5
        assert Booking.objects.exists()

    def test_believes_nothing_after_a_minute(self, own: Side, monkeypatch: pytest.MonkeyPatch) -> None:
        body, signature = sealing.seal(SECRET, {"epoch": 1, **self.bookings("10")})
        now = time.time()
        for passed, status in ((61, 200), (70, 403), (-70, 403)):
            monkeypatch.setattr(sealing.time, "time", lambda passed=passed: now + passed)
            assert self.post(body, signature).status_code == status

    def test_touches_no_table_that_is_not_the_capability_s(self, own: Side, person: Person) -> None:
        Card.objects.create(person=person)

        answer = self.ask(self.bookings("10", table="club_card"))

        assert (answer.status_code, Card.objects.count()) == (501, 1)

    def test_does_nothing_where_it_is_not_the_owner(self, desk: Side) -> None:
        assert self.ask(self.bookings("10")).status_code == 409

    def test_does_nothing_for_who_knows_of_a_later_owner(self, own: Side) -> None:
        assert self.ask({**self.bookings("10"), "epoch": 99}).status_code == 409

    def test_says_to_its_peer_that_it_can(self, desk: Side) -> None:
        assert json.loads(self.ask({"kind": "probe"}).content) == {"deletions": True, "positions": True}

    def test_tells_a_stranger_nothing(self, own: Side) -> None:
        request = RequestFactory().get(agreement.DELETIONS)
        assert FenceMiddleware(lambda _: HttpResponse(status=418))(request).status_code == 405
