from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from chassis.messages import broker, deadletters, events, inbox
from chassis.models import OutboxMessage, PublishedMessage
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.utils import timezone
from library.models import Book, Inbox
from library.post import Post, message

pytestmark = [
    pytest.mark.skipif(connection.vendor != "postgresql", reason="the outbox is written in PostgreSQL's SQL"),
    pytest.mark.django_db,
]


@pytest.fixture
def post(rabbitmq, settings) -> Iterator[Post]:
    settings.CHASSIS_BROKER_URL = rabbitmq
    with Post(rabbitmq) as post:
        yield post


def run(*arguments: str) -> list[str]:
    out = StringIO()
    call_command("events", *arguments, stdout=out, stderr=StringIO())
    return out.getvalue().splitlines()


def published(key: str = "1", type: str = "visits.visit.noted", days: float = 0) -> Any:
    """An event that a relay has published so many days ago."""
    with transaction.atomic():
        id = events.publish(capability="visits", type=type, key=key, data={}, version=1)
    waiting = OutboxMessage.objects.get(message_id=id)
    names = ("id", "message_id", "capability", "type", "key", "destination", "lane", "body")
    row = PublishedMessage.objects.create(
        **{name: getattr(waiting, name) for name in names},
        created_at=timezone.now() - timedelta(days=days),
        published_at=timezone.now() - timedelta(days=days),
    )
    waiting.delete()
    return row


def bury(*messages: Any) -> None:
    for each in messages:
        deadletters.bury("books", each.encode(), {"kept": "yes"}, fault="ValueError: no", tries=5, message=each)


def test_the_outbox_is_listed_by_what_is_asked_for():
    with transaction.atomic():
        for key in ("1", "2"):
            events.publish(capability="visits", type="visits.visit.noted", key=key, data={})
            events.command(to="books", type="books.add", key=key, data={}, capability="visits")

    lines = run("list", "--key", "2", "--json")

    assert [(line["type"], line["key"], line["to"]) for line in map(json.loads, lines)] == [
        ("visits.visit.noted", "2", ""),
        ("books.add", "2", "books"),
    ]
    assert len(run("list", "--limit", "3")) == 3
    assert len(run("list", "--type", "books.add")) == 2
    assert run("list", "--until", "2020-01-01") == []


def test_a_message_is_shown_with_its_body(post):
    row, dead = published(), message(title="Emma")
    bury(dead)

    [shown, buried] = (json.loads("\n".join(run("show", str(id)))) for id in (row.message_id, dead.id))

    assert (shown["source"], shown["body"]["subject"]) == ("published", "1")
    assert (buried["source"], buried["error"], buried["attempts"]) == ("dead", "ValueError: no", 5)
    assert buried["body"]["data"] == {"title": "Emma"}


def test_a_message_that_is_nowhere_is_an_error(post):
    with pytest.raises(CommandError, match="no message"):
        run("show", str(message().id))


def test_published_events_are_replayed_to_one_consumer_who_drops_what_it_has_handled():
    row, other = published(key="1"), published(key="2")
    body = events.Message.decode(bytes(row.body))
    inbox.handle(body, "books")

    lines = run("replay", "--source", "published", "--key", "1", "--to", "books", "--yes")

    assert lines == ["1 replayed"]
    again = OutboxMessage.objects.get()
    assert (again.message_id, again.destination, bytes(again.body)) == (row.message_id, "books", bytes(row.body))
    assert inbox.handle(events.Message.decode(bytes(again.body)), "books") == "duplicate"
    assert PublishedMessage.objects.filter(pk__in=(row.pk, other.pk)).count() == 2


def test_a_replay_of_published_events_asks_to_whom():
    with pytest.raises(CommandError, match="--to"):
        run("replay", "--source", "published", "--yes")


def test_nothing_is_done_without_yes_or_in_a_dry_run():
    published()

    told = run("replay", "--source", "published", "--to", "books", "--dry-run", "--yes")
    with pytest.raises(CommandError, match="--yes"):
        run("replay", "--source", "published", "--to", "books")

    assert "visits.visit.noted" in told[0]
    assert not OutboxMessage.objects.exists()


def test_dead_letters_are_replayed_to_their_queue_without_what_they_died_of(post):
    wanted, other = message(key="1", title="Emma"), message(key="2", title="Persuasion")
    bury(wanted, other)

    assert run("replay", "--source", "dead", "--key", "1", "--yes") == ["1 replayed"]

    [taken] = post.take("books", 1)
    assert taken.message == wanted
    assert {name for name in taken.headers if name.startswith("x-")} <= {"x-delivery-count"}
    assert taken.headers["kept"] == "yes"
    assert [letter.message for letter in post.dead()] == [other]


def test_dead_letters_are_listed_and_stay_and_are_purged_when_asked(post):
    first, second = message(key="1"), message(key="2")
    bury(first, second)

    listed = [json.loads(line) for line in run("list", "--source", "dead", "--json")]
    assert [(line["id"], line["error"]) for line in listed] == [
        (str(first.id), "ValueError: no"),
        (str(second.id), "ValueError: no"),
    ]
    assert len(run("list", "--source", "dead", "--limit", "1")) == 1

    assert run("purge", "--source", "dead", "--key", "2", "--capability", "books", "--yes") == ["1 purged"]
    assert [letter.message for letter in post.dead()] == [first]


def test_a_dead_letter_that_is_looked_at_again_and_again_stays(post):
    """From RabbitMQ 4 on a quorum queue drops what was delivered 20 times, unless the queue says otherwise."""
    bury(message(key="1"))

    for _ in range(broker.DELIVERY_LIMIT + 5):
        assert len(run("list", "--source", "dead")) == 1


def test_a_replay_that_the_broker_does_not_take_leaves_the_letter(post):
    bury(message(key="1"))

    with pytest.raises(CommandError, match="broker"):
        run("replay", "--source", "dead", "--to", "nowhere", "--yes")

    assert len(post.dead()) == 1


def test_a_dead_letter_that_nobody_understands_can_be_looked_at(post):
    deadletters.bury("books", b"\xff{", {}, fault="MalformedError: no JSON", tries=0, message=None)

    [line] = run("list", "--source", "dead")

    assert "MalformedError" in line


def test_a_purge_without_a_choice_takes_only_what_is_kept_long_enough():
    published(key="old", days=8), published(key="new", days=6)
    for title, days in (("old", 31), ("new", 29)):
        told = message(title=title)
        inbox.handle(told, "books")
        Inbox.objects.filter(message_id=told.id).update(handled_at=timezone.now() - timedelta(days=days))

    assert run("purge", "--yes") == ["1 purged", "1 inbox rows forgotten"]

    assert [row.key for row in PublishedMessage.objects.all()] == ["new"]
    assert Inbox.objects.count() == 1
    assert Book.objects.count() == 2


@pytest.mark.parametrize("source", ["outbox", "dead"])
def test_everything_of_the_outbox_or_of_the_dead_is_never_purged(source):
    with pytest.raises(CommandError, match="say which"):
        run("purge", "--source", source, "--yes")


def test_a_broker_that_is_away_is_said_so(settings):
    settings.CHASSIS_BROKER_URL = "amqp://127.0.0.1:1//"

    with pytest.raises(CommandError, match="broker does not answer"):
        run("list", "--source", "dead")
