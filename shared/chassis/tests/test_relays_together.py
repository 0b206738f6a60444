"""Several relays at once, in processes that are stopped and killed."""

from __future__ import annotations

import threading
import time
import urllib.request
from collections.abc import Iterator

import pytest
from chassis.messages import shares
from chassis.messages.outbox import LANES
from chassis.models import OutboxMessage, PublishedMessage
from django.db import connection, connections
from library.programs import free_port
from library.relays import Ear, RelayProcess, fill, tell
from library.waiting import until

pytestmark = [
    pytest.mark.skipif(connection.vendor != "postgresql", reason="DATABASE_URL names no PostgreSQL"),
    pytest.mark.django_db(transaction=True),
]


@pytest.fixture
def kind() -> str:
    return f"books.{time.monotonic_ns()}.added"


@pytest.fixture
def ear(rabbitmq, kind) -> Iterator[Ear]:
    with Ear(rabbitmq, [kind]) as ear:
        yield ear


def holdings() -> list[int]:
    """How many lanes each relay holds, the fewest first."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FILTER (WHERE objid < %s) FROM pg_locks WHERE locktype = 'advisory' AND classid = %s "
            "AND objsubid = 2 GROUP BY pid ORDER BY 1",
            (LANES, shares.CLASS),
        )
        return [count for (count,) in cursor.fetchall()]


def write(kind: str, keys: int, each: int) -> threading.Thread:
    """Writes in a thread of its own, a transaction an event."""

    def run() -> None:
        for number in range(each):
            for key in range(keys):
                tell(kind, f"key-{key}", number)
        connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_relays_share_the_lanes_and_inherit_those_of_one_that_is_killed(rabbitmq):
    with RelayProcess(rabbitmq) as one, RelayProcess(rabbitmq), RelayProcess(rabbitmq):
        until(lambda: holdings() == [4, 6, 6])
        one.kill()
        until(lambda: holdings() == [8, 8])


def test_two_relays_keep_the_order_of_each_key_while_one_of_them_is_killed_and_replaced(rabbitmq, ear, kind):
    with RelayProcess(rabbitmq) as one, RelayProcess(rabbitmq):
        until(lambda: holdings() == [8, 8])
        writing = write(kind, keys=40, each=50)
        ear.await_count(300)
        one.kill()
        with RelayProcess(rabbitmq):
            ear.await_count(900)
            writing.join()
            ear.await_count(2000)
            until(lambda: not OutboxMessage.objects.exists())

    assert ear.firsts() == {f"key-{key}": list(range(50)) for key in range(40)}
    assert PublishedMessage.objects.count() == 2000


def test_a_relay_that_is_killed_over_a_backlog_loses_nothing_and_keeps_the_order(rabbitmq, ear, kind):
    fill(kind, keys=1000, each=6)
    for _ in range(3):
        with RelayProcess(rabbitmq) as relay:
            ear.hear(100)
            relay.kill()
        assert OutboxMessage.objects.exists()
    with RelayProcess(rabbitmq):
        ear.await_count(6000)
        until(lambda: not OutboxMessage.objects.exists())

    assert ear.firsts() == {f"key-{key}": list(range(6)) for key in range(1000)}


def test_a_relay_that_is_told_to_end_publishes_nothing_twice(rabbitmq, ear, kind):
    fill(kind, keys=6000, each=1)
    with RelayProcess(rabbitmq) as relay:
        ear.hear(100)
        assert relay.terminate() == 0
    with RelayProcess(rabbitmq):
        ear.await_count(6000)
        until(lambda: not OutboxMessage.objects.exists())

    assert len(ear.listen()) == 6000


def test_a_relay_serves_its_metrics_where_it_is_told(rabbitmq, ear, kind):
    port = free_port()

    def text() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
            return answer.read().decode()

    with RelayProcess(rabbitmq, "--metrics-port", str(port)):
        tell(kind)
        ear.await_count(1)
        # Counted when the row has gone from the outbox.
        until(lambda: 'chassis_relay_published_total{capability="books"} 1.0' in text())
        assert "chassis_outbox_rows" in text()
        assert not OutboxMessage.objects.exists()
