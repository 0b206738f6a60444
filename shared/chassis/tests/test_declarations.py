"""A queue that is there already as another kind of queue stops nothing but itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from chassis.messages import broker, declarations, events
from chassis.messages.consumer import Consumer
from chassis.messages.relay import Relay
from chassis.models import OutboxMessage
from chassis.ownership.watch import Watch
from chassis.servers import health
from django.db import connection, transaction
from library.models import Book
from library.post import message
from library.relays import relaying
from library.waiting import until

pytestmark = [
    pytest.mark.skipif(connection.vendor != "postgresql", reason="DATABASE_URL names no PostgreSQL"),
    pytest.mark.django_db(transaction=True),
]


class Other:
    """A connection of somebody else's, and what he has declared; gone at the end."""

    def __init__(self, url: str) -> None:
        self.connection: Any = broker.connect(url)
        self.channel: Any = self.connection.channel()
        self.named = [f"odd-{uuid4().hex[:8]}", f"even-{uuid4().hex[:8]}"]

    def remove(self) -> None:
        with suppress(*self.connection.channel_errors):
            self.channel.exchange_delete("events-of-another-kind")
        for name in self.named:
            for queue in (name, broker.dead(name)):
                with self.connection.channel() as channel:
                    channel.queue_delete(queue)
        self.connection.close()

    def count(self, queue: str) -> int:
        return int(self.channel.queue_declare(queue, passive=True).message_count)


@pytest.fixture
def other(rabbitmq, settings, monkeypatch) -> Iterator[Other]:
    found = Other(rabbitmq)
    odd, even = found.named
    settings.CHASSIS_BROKER_URL = rabbitmq
    settings.CHASSIS_CONSUMES = {odd: [f"{odd}.told"], even: [f"{even}.told"]}
    monkeypatch.setattr(declarations, "_refused", {})
    yield found
    found.remove()


def tell(name: str) -> None:
    with transaction.atomic():
        events.publish(capability="books", type=f"{name}.told", key=name, data={})


MADE = {
    "classic": {"durable": True},
    "other arguments": {"durable": True, "arguments": {"x-queue-type": "quorum", "x-delivery-limit": 3}},
    "transient": {"durable": False},
    "exclusive": {"exclusive": True, "durable": False},
}


@pytest.mark.parametrize("made", MADE)
@pytest.mark.parametrize("which", ["alive", "dead"])
def test_a_queue_of_another_kind_is_named_and_the_events_of_all_others_go_on(other, monkeypatch, caplog, made, which):
    odd, even = other.named
    wrong = odd if which == "alive" else broker.dead(odd)
    other.channel.queue_declare(wrong, auto_delete=False, **MADE[made])
    monkeypatch.setattr(declarations, "AGAIN_SECONDS", 0.5)
    tell(even)

    with relaying():
        until(lambda: not OutboxMessage.objects.exists())
        assert other.count(even) == 1
        status, content = health.readiness()
        assert (status, list(content["refused"])) == (200, [wrong])
        assert wrong in content["refused"][wrong]
        assert declarations.REFUSED.labels(wrong)._value.get() == 1
        assert [record.queue for record in caplog.records if record.msg == "declaration_refused"] == [wrong]

        other.channel.queue_delete(wrong)
        until(lambda: not declarations.refused())
        tell(odd)
        until(lambda: other.count(odd) == 1)

    assert declarations.REFUSED.labels(wrong)._value.get() == 0


def test_an_event_for_a_queue_that_cannot_be_had_waits_and_holds_up_nobody(other):
    odd, even = other.named
    other.channel.queue_declare(odd, auto_delete=False, exclusive=True, durable=False)
    tell(odd)
    tell(even)

    with relaying():
        until(lambda: OutboxMessage.objects.count() == 1)
        until(lambda: OutboxMessage.objects.get().attempts)

    assert OutboxMessage.objects.get().key == odd
    assert other.count(even) == 1


def test_an_exchange_of_another_kind_stops_events_and_no_commands(other, monkeypatch):
    odd, even = other.named
    monkeypatch.setattr(broker, "EXCHANGE", "events-of-another-kind")
    other.channel.exchange_declare("events-of-another-kind", "fanout", durable=True, auto_delete=False)
    tell(odd)
    with transaction.atomic():
        events.command(to=even, type="even.do", key="1", data={}, capability="books")

    with relaying():
        until(lambda: OutboxMessage.objects.count() == 1 and OutboxMessage.objects.get().attempts)

    assert other.count(even) == 1
    assert "events-of-another-kind exists with other properties" in OutboxMessage.objects.get().error
    assert list(declarations.refused()) == ["events-of-another-kind"]


def test_a_consumer_whose_queue_is_of_another_kind_says_so_and_the_others_go_on(other, post, settings, caplog):
    odd = other.named[0]
    other.channel.queue_declare(odd, durable=True, auto_delete=False)
    settings.CHASSIS_CONSUMES = {odd: [], "books": ["visits.visit.noted"]}
    watch = Watch()
    watch.start()
    consumers = [Consumer(capability, watch) for capability in (odd, "books")]
    for consumer in consumers:
        consumer.start()

    post.put(message(title="Emma"))
    try:
        until(lambda: Book.objects.filter(title="Emma").exists())
        until(lambda: "subscription_lost" in [record.msg for record in caplog.records])
    finally:
        for consumer in consumers:
            consumer.stop()
        watch.stop()

    [told] = [record.reason for record in caplog.records if record.msg == "subscription_lost"]
    assert f"{odd} exists with other properties" in told
    assert f"rabbitmqctl delete_queue {odd}" in told


class Refusing:
    """A connection whose user may not declare; ``there`` is what somebody else has declared."""

    class Error(Exception):
        def __init__(self, code: int) -> None:
            super().__init__(f"({code})")
            self.reply_code = code

    channel_errors = (Error,)

    def __init__(self, *there: str) -> None:
        self._there = there

    def channel(self) -> Any:
        return SimpleNamespace(
            exchange_declare=lambda exchange, passive=False, **_: self._look(exchange, passive),
            queue_declare=lambda queue, passive=False, **_: self._look(queue, passive),
            queue_bind=lambda **_: None,
            close=lambda: None,
        )

    def _look(self, name: str, passive: bool) -> None:
        if not passive:
            raise self.Error(403)
        if name not in self._there:
            raise self.Error(404)


def test_who_may_not_declare_uses_what_is_there(monkeypatch):
    monkeypatch.setattr(declarations, "_refused", {})

    assert declarations.declare(Refusing("events", "a", "a.dead"), {"a": ["x"]}) == {}
    assert list(declarations.declare(Refusing("events", "a.dead"), {"a": []})) == ["a"]


def test_a_relay_needs_no_second_look_where_nothing_was_refused(other, monkeypatch):
    monkeypatch.setattr(declarations, "AGAIN_SECONDS", 0.0)
    relay = Relay()
    relay.turn()
    publisher = relay._publisher

    relay.turn()

    assert relay._publisher is publisher
    relay._hang_up()
