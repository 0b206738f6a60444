"""One relay between a real database and a real broker."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import psycopg
import pytest
from chassis.messages import events, outbox, publishers
from chassis.messages import relay as module
from chassis.messages.broker import BrokerLostError
from chassis.models import OutboxMessage, PublishedMessage
from chassis.testing.sessions import another_session
from django.db import connection, connections, transaction
from django.test.utils import CaptureQueriesContext
from library.cable import Cable
from library.relays import Ear, fill, relaying, tell
from library.waiting import until

pytestmark = [
    pytest.mark.skipif(connection.vendor != "postgresql", reason="DATABASE_URL names no PostgreSQL"),
    pytest.mark.django_db(transaction=True),
]


@pytest.fixture(autouse=True)
def _broker(rabbitmq, settings):
    settings.CHASSIS_BROKER_URL = rabbitmq


@pytest.fixture
def kind() -> str:
    """A type of event that no other test has bound a queue to."""
    return f"books.{time.monotonic_ns()}.added"


@pytest.fixture
def ear(rabbitmq, kind) -> Iterator[Ear]:
    with Ear(rabbitmq, [kind]) as ear:
        yield ear


@pytest.fixture
def session() -> Iterator[psycopg.Connection]:
    """Beside Django's; sees what is committed."""
    with another_session(autocommit=True) as session:
        yield session


@pytest.fixture
def side(session) -> Iterator[psycopg.Connection]:
    """A side's table as a move makes it, as far as a relay looks at it."""
    session.execute("CREATE SCHEMA strangler")
    session.execute("CREATE TABLE strangler.side (capability text, events_held boolean)")
    yield session
    session.execute("DROP SCHEMA strangler CASCADE")


def _counted(run, begun):
    def counted(self, *arguments):
        begun.append(self)
        return run(self, *arguments)

    return counted


def _tell_elsewhere(kind: str, number: int) -> None:
    tell(kind, number=number)
    connections.close_all()


def is_empty() -> bool:
    return not OutboxMessage.objects.exists()


class TestPublishing:
    def test_an_event_is_heard_as_it_was_written_and_kept_as_published(self, ear, kind):
        tell(kind, "Emma", 7)
        written = bytes(OutboxMessage.objects.get().body)

        with relaying():
            ear.await_count(1)
            until(is_empty)

        kept = PublishedMessage.objects.get()
        assert ear.bodies == [written]
        assert bytes(kept.body) == written
        assert (kept.type, kept.key, kept.message_id) == (kind, "Emma", ear.heard[0].id)
        assert kept.published_at >= kept.created_at

    def test_a_command_goes_to_its_queue_and_is_not_kept(self, ear):
        with transaction.atomic():
            events.command(to=ear.name, type="books.lend", key="1", data={}, capability="desk", reply_to="desk")

        with relaying():
            ear.await_count(1)
            until(is_empty)

        assert ear.heard[0].reply_to == "desk"
        assert not PublishedMessage.objects.exists()

    def test_messages_of_one_key_are_heard_in_the_order_they_were_written(self, ear, kind):
        fill(kind, keys=7, each=200)

        with relaying():
            ear.await_count(1400)

        assert ear.firsts() == {f"key-{key}": list(range(200)) for key in range(7)}
        assert len(ear.heard) == 1400

    def test_of_a_backlog_the_first_of_each_batch_have_a_span_and_of_few_messages_all(self, ear, kind, recorded):
        fill(kind, keys=300, each=1)
        with relaying():
            ear.await_count(300)
            until(is_empty)
            assert len(recorded.named(f"send {kind}")) == module.TRACED_MESSAGES

            for number in range(5):
                tell(kind, f"later-{number}")
            ear.await_count(305)
            until(is_empty)

        assert len(recorded.named(f"send {kind}")) == module.TRACED_MESSAGES + 5

    def test_a_backlog_is_read_on_while_messages_are_on_their_way(self, ear, kind, monkeypatch):
        begun = []
        monkeypatch.setattr(module, "BATCH_ROWS", 20)
        monkeypatch.setattr(module.Batch, "run", _counted(module.Batch.run, begun))
        fill(kind, keys=7, each=30)

        with relaying():
            ear.await_count(210)
            until(is_empty)

        assert ear.firsts() == {f"key-{key}": list(range(30)) for key in range(7)}
        assert len(ear.heard) == 210
        assert len(begun) < 5

    def test_a_row_that_is_committed_late_is_not_passed_over(self, ear, kind, session):
        written, may_commit = threading.Event(), threading.Event()

        def dawdle() -> None:
            with transaction.atomic():
                events.publish(capability="books", type=kind, key="late", data={"number": 0})
                written.set()
                may_commit.wait(30)
            connections.close_all()

        thread = threading.Thread(target=dawdle)
        thread.start()
        written.wait(30)
        tell(kind, "early")
        last = session.execute("SELECT max(id) FROM chassis_outbox").fetchone()[0]
        with relaying():
            ear.await_count(1)
            may_commit.set()
            thread.join()
            ear.await_count(2)

        assert [message.subject for message in ear.heard] == ["early", "late"]
        # What a relay would see that remembers the last number it has read.
        beyond = PublishedMessage.objects.filter(id__gt=last).values_list("key", flat=True)
        assert "late" not in beyond

    def test_stopping_waits_for_what_is_on_its_way(self, ear, kind):
        fill(kind, keys=5000, each=1)
        with relaying():
            ear.await_count(1)

        published = set(PublishedMessage.objects.values_list("message_id", flat=True))
        ear.await_count(len(published))
        assert {message.id for message in ear.heard} == published
        assert len(ear.heard) == len(published)
        assert len(published) + OutboxMessage.objects.count() == 5000


class TestTrouble:
    def test_an_event_that_nobody_hears_is_kept_and_holds_up_its_own_key_only(self, rabbitmq, ear, kind):
        lonely = f"{kind}.lonely"
        tell(lonely, "a", 0)
        tell(kind, "a", 1)
        tell(kind, "b", 0)

        with relaying():
            ear.await_count(1)
            row = until(lambda: OutboxMessage.objects.filter(type=lonely, attempts__gt=0).first())
            assert "NO_ROUTE" in row.error
            assert row.retry_at is not None
            assert [message.subject for message in ear.listen()] == ["b"]

            with Ear(rabbitmq, [lonely]) as other:
                other.await_count(1)
                ear.await_count(2)
        assert [(message.subject, message.data["number"]) for message in ear.heard] == [("b", 0), ("a", 1)]

    def test_an_event_that_needs_no_listener_counts_as_published(self, kind, settings):
        settings.CHASSIS_UNHEARD = {kind}
        tell(kind)

        with relaying():
            until(is_empty)

        assert PublishedMessage.objects.get().type == kind

    def test_a_command_for_a_queue_that_is_not_there_yet_waits_for_it(self, rabbitmq, kind, settings):
        settings.CHASSIS_UNHEARD = {kind}
        with transaction.atomic():
            events.command(to=f"queue-{kind}", type=kind, key="1", data={}, capability="desk")

        with relaying():
            until(lambda: OutboxMessage.objects.filter(attempts__gt=0).exists())
            with Ear(rabbitmq, name=f"queue-{kind}") as ear:
                ear.await_count(1)
                until(is_empty)

    def test_what_a_full_queue_refuses_is_kept_and_sent_when_there_is_room(self, rabbitmq, ear, kind):
        small = f"small-{kind}"
        channel = ear._connection.channel()
        limits = {"x-queue-type": "quorum", "x-max-length": 1, "x-overflow": "reject-publish"}
        channel.queue_declare(small, durable=True, auto_delete=False, arguments=limits)
        with transaction.atomic():
            for number in range(20):
                events.command(to=small, type=kind, key="1", data={"number": number}, capability="desk")
        numbers: list[int] = []

        def take() -> bool:
            found = channel.basic_get(small, no_ack=True)
            if found is not None:
                body = found.body if isinstance(found.body, bytes) else found.body.encode()
                numbers.append(events.Message.decode(body).data["number"])
            return len(numbers) >= 20 and is_empty()

        with relaying():
            refused = until(lambda: OutboxMessage.objects.filter(attempts__gt=0).first())
            until(take, 120)

        assert "refused" in refused.error
        assert numbers == list(range(20))
        channel.queue_delete(small)

    def test_what_is_written_while_the_broker_is_away_is_published_when_it_is_back(self, rabbitmq_node, kind):
        with Ear(rabbitmq_node.url, [kind]) as ear, relaying():
            tell(kind, number=0)
            ear.await_count(1)
            rabbitmq_node.stop()
            for number in range(1, 50):
                tell(kind, number=number)
            rabbitmq_node.start()
            ear.open()
            ear.await_count(50)

            assert ear.firsts() == {"1": list(range(50))}
            until(is_empty)

    def test_a_relay_starts_before_the_broker_does(self, rabbitmq_node, kind):
        rabbitmq_node.stop()
        tell(kind)
        with relaying() as relay:
            until(lambda: relay._failures > 1)
            rabbitmq_node.start()
            with Ear(rabbitmq_node.url, [kind]) as ear:
                ear.await_count(1)

    @pytest.mark.parametrize("bytes_before", [2_000, 60_000, 200_000])
    def test_a_connection_cut_in_the_middle_of_a_window_loses_nothing(
        self, rabbitmq, ear, kind, settings, bytes_before
    ):
        fill(kind, keys=300, each=5)
        with Cable(rabbitmq) as cable:
            cable.cut_after = bytes_before
            settings.CHASSIS_BROKER_URL = cable.url
            with relaying():
                ear.await_count(1500)
                until(is_empty)

        assert cable.cuts == 1
        assert ear.firsts() == {f"key-{key}": list(range(5)) for key in range(300)}
        assert PublishedMessage.objects.count() == 1500

    def test_a_message_at_which_the_broker_hangs_up_stops_no_other(self, ear, kind, monkeypatch):
        class Touchy(publishers.ConfirmingPublisher):
            def send(self, parcel):
                super().send(parcel)
                if parcel.type == "books.odd":
                    raise BrokerLostError("PRECONDITION_FAILED", objected=True)

        monkeypatch.setattr(publishers, "ConfirmingPublisher", Touchy)
        tell(kind, "a")
        tell("books.odd", "b")
        tell(kind, "c")

        with relaying():
            ear.await_count(2)
            until(lambda: OutboxMessage.objects.filter(type="books.odd", attempts__gt=0).exists())

        assert "PRECONDITION_FAILED" in OutboxMessage.objects.get().error

    def test_a_relay_whose_session_ends_begins_another(self, ear, kind, session):
        with relaying():
            tell(kind, number=0)
            ear.await_count(1)
            session.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"
            )
            tell(kind, number=1)
            ear.await_count(2)

        assert ear.firsts() == {"1": [0, 1]}


class TestWaking:
    def test_a_notification_wakes_the_relay(self, ear, kind, monkeypatch):
        monkeypatch.setattr(module, "PATROL_SECONDS", 600.0)
        with relaying() as relay:
            for number in range(5):
                until(lambda: relay.idle)
                tell(kind, number=number)
                ear.await_count(number + 1, 30)
            tell_to_stop(relay)

    def test_a_message_in_the_shadow_of_a_notification_does_not_wait_for_the_patrol(self, ear, kind, monkeypatch):
        monkeypatch.setattr(module, "PATROL_SECONDS", 600.0)
        with relaying() as relay:
            until(lambda: relay.idle)
            for number in range(40):
                tell(kind, number=number)
            ear.await_count(40, 30)
            tell_to_stop(relay)

    def test_it_looks_twice_for_a_message_at_the_notification_and_at_its_echo(self, ear, kind, monkeypatch):
        looks = []
        monkeypatch.setattr(module, "PATROL_SECONDS", 600.0)
        monkeypatch.setattr(module.Relay, "_ready", _counted(module.Relay._ready, looks))
        with relaying() as relay:
            until(lambda: relay.idle)
            before = len(looks)
            tell(kind)
            ear.await_count(1, 30)
            until(is_empty)
            until(lambda: relay.idle)
            assert len(looks) - before == 2
            tell_to_stop(relay)

    def test_what_is_committed_while_a_batch_is_on_its_way_does_not_wait_for_the_patrol(self, ear, kind, monkeypatch):
        """Its notification comes while the relay listens to the broker."""
        meanwhile = [1, 2]

        def run(self, stopping):
            if meanwhile:
                thread = threading.Thread(target=_tell_elsewhere, args=(kind, meanwhile.pop(0)))
                thread.start()
                thread.join()
            whole(self, stopping)

        whole = module.Batch.run
        monkeypatch.setattr(module, "PATROL_SECONDS", 600.0)
        monkeypatch.setattr(module.Batch, "run", run)
        with relaying() as relay:
            until(lambda: relay.idle)
            tell(kind, number=0)
            ear.await_count(3, 30)
            tell_to_stop(relay)

        assert ear.firsts() == {"1": [0, 1, 2]}

    def test_it_rests_where_many_events_come_and_less_where_somebody_waits_for_an_answer(self, ear, kind):
        def rest(*, destination: str) -> float:
            relay._looked += 1.0
            relay._count([outbox.Waiting(1, "", "books", kind, "1", destination, b"")] * (module.MANY_PER_SECOND + 1))
            return relay._rest

        relay = module.Relay()
        relay._looked = 10.0
        relay._count([])

        assert rest(destination="") == module.REST_SECONDS
        assert rest(destination="books") == module.REST_OF_REPLIES_SECONDS
        assert rest(destination="") == module.REST_SECONDS
        relay._looked += 1.0
        relay._count([])
        assert relay._rest == 0.0

    def test_what_nobody_was_told_of_is_found_on_patrol(self, ear, kind, monkeypatch):
        monkeypatch.setattr(outbox, "_woken", float("inf"))
        with relaying() as relay:
            until(lambda: relay.idle)
            tell(kind)
            ear.await_count(1)

    def test_a_process_notifies_every_few_milliseconds_at_most(self, kind, session):
        session.execute(f"LISTEN {outbox.CHANNEL}")
        began = time.monotonic()
        for number in range(200):
            tell(kind, number=number)
        passed = time.monotonic() - began

        heard = len(list(session.notifies(timeout=0.5)))
        assert 1 <= heard <= passed / outbox.WAKE_SECONDS + 1

    def test_the_notification_is_no_part_of_the_transaction(self, kind, monkeypatch):
        monkeypatch.setattr(outbox, "_woken", float("-inf"))
        with CaptureQueriesContext(connection) as captured:
            tell(kind)

        statements = [query["sql"].split("(")[0].strip() for query in captured.captured_queries]
        assert statements[-2:] == ["COMMIT", "SELECT pg_notify"]

    def test_a_transaction_that_is_rolled_back_wakes_nobody(self, kind, session):
        session.execute(f"LISTEN {outbox.CHANNEL}")
        with transaction.atomic():
            events.publish(capability="books", type=kind, key="1", data={})
            transaction.set_rollback(True)

        assert list(session.notifies(timeout=0.2)) == []
        assert is_empty()


class TestHolding:
    def test_events_stay_while_their_side_holds_them_and_leave_when_it_does_not(self, ear, kind, side):
        side.execute("INSERT INTO strangler.side VALUES ('books', true), ('visits', false)")
        tell(kind, "held", capability="books")
        tell(kind, "free", capability="visits")

        with relaying() as relay:
            ear.await_count(1)
            until(lambda: relay.idle)
            assert [message.subject for message in ear.listen()] == ["free"]
            side.execute("UPDATE strangler.side SET events_held = false")
            ear.await_count(2)

        assert [message.subject for message in ear.heard] == ["free", "held"]

    def test_more_held_events_than_a_batch_has_do_not_stop_the_others(self, ear, kind, side, monkeypatch):
        monkeypatch.setattr(module, "BATCH_ROWS", 10)
        side.execute("INSERT INTO strangler.side VALUES ('books', true)")
        fill(kind, keys=30, each=1)
        tell(kind, "free", capability="visits")

        with relaying():
            ear.await_count(1)

        assert [message.subject for message in ear.listen()] == ["free"]

    def test_a_side_of_before_there_was_such_a_flag_holds_nothing(self, ear, kind, side):
        side.execute("ALTER TABLE strangler.side DROP COLUMN events_held")
        side.execute("INSERT INTO strangler.side VALUES ('books')")
        tell(kind)

        with relaying():
            ear.await_count(1)


class TestWithoutConfirms:
    @pytest.fixture(autouse=True)
    def _memory(self, settings):
        settings.CHASSIS_BROKER_URL = "memory://"
        settings.CHASSIS_CONSUMES = {"visits": ["books.memorable"]}

    def test_an_event_is_published_when_a_queue_is_bound_and_kept_when_none_is(self):
        tell("books.memorable", "1")
        tell("books.forgotten", "2")

        with relaying():
            until(PublishedMessage.objects.exists)
            until(lambda: OutboxMessage.objects.filter(attempts__gt=0).exists())

        assert PublishedMessage.objects.get().type == "books.memorable"
        assert OutboxMessage.objects.get().type == "books.forgotten"


def tell_to_stop(relay: module.Relay) -> None:
    """Wakes it, too: with a patrol that is this long it would not look."""
    relay.stop()
    outbox._woken = float("-inf")
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, '')", (outbox.CHANNEL,))
