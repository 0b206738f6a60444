"""How fast the outbox is published, compared with the broker's own limit and with other outboxes for Django.

    python -m tests.benchmarks.relay [EVENTS]

Starts a PostgreSQL that flushes every commit and a RabbitMQ of its own, publishes the same bodies to the same quorum
queue with a confirm each, pipelined, and through the outbox; then a part of them through the outboxes of the peers,
each by its own relay and its own interface (see `tests.benchmarks.peers`). The relay publishes them twice: without
traces, and with a span of each message that goes to a collector, which is one more process. All servers are taken down
again. Figures depend on what else runs on the machine: client, relay, database, broker and collector share its cores.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any

import amqp
import psycopg

from tests.benchmarks import peers, table
from tests.benchmarks.peers import PEERS, Peer, Peers
from tests.benchmarks.servers import Place, collector, django, postgres, rabbitmq, running
from tests.benchmarks.table import Figure, Goal
from tests.broker import connected

PROJECT = Path(__file__).resolve().parent / "relay_project"
QUEUE = "benchmark"
TYPE = "benchmark.thing.done"
KEYS = 2000
WINDOW = 500
ROUNDS = 3
OURS, PIPELINED = "outbox and relay", "bare, pipelined"
SHARE = 0.8  # of what is published without an outbox
FEWER = 20  # times fewer events for the peers and for one confirm per event, which are that much slower
PEERS_DATABASE = "peers"
TRACED = "outbox and relay, traced"
TRACED_SHARE = 0.9


def main(events: int = 20_000) -> int:
    """Prints the table."""
    print(table.text(figures(events)))
    return 0


def figures(events: int = 20_000) -> Iterator[Figure]:
    """Events per second, each the median of rounds that alternate."""
    with ExitStack() as held:
        database, broker = held.enter_context(postgres()), held.enter_context(rabbitmq(stomp=True))
        python, versions = held.enter_context(peers.installed())
        session = held.enter_context(psycopg.connect(database.url, autocommit=True))
        reasons = {peer: peers.missing(peer, python, versions, broker) for peer in PEERS}
        others = Others(python, session, database, broker) if python else None
        measured = [peer for peer in PEERS if others and not reasons[peer]]
        rates: dict[str, list[float]] = {}
        endpoint, spans = held.enter_context(collector())
        bench = Bench(database, broker, session, endpoint)
        for _ in range(ROUNDS):
            bench.measure(events, rates)
            for peer in measured:
                assert others is not None
                rates.setdefault(f"{peer.package}, {peer.settings}", []).append(others.rate(peer, events // FEWER))
    medians = {name: statistics.median(found) for name, found in rates.items()}
    ours, traced = medians.pop(OURS), medians.pop(TRACED)
    note = f"{events} events of {KEYS} keys, {events // FEWER} for the slow ones, fsync on, median of {ROUNDS} rounds; "
    note += "; ".join([f"py-amqp {version('amqp')}", versions])
    note += "".join(f"; {peer.package}: {reason or peer.not_promised}" for peer, reason in reasons.items())
    goal = Goal(SHARE, PIPELINED, least=True)
    yield Figure("outbox and relay, confirmed", "events/s", ours, medians, (goal,), note)
    goal = Goal(TRACED_SHARE, OURS, least=True)
    yield Figure(TRACED, "events/s", traced, {OURS: ours}, (goal,), f"{spans.value} spans arrived")


class Bench:
    """Four ways from the same rows to the same queue."""

    def __init__(self, database: Place, broker: Place, session: psycopg.Connection[Any], endpoint: str) -> None:
        self._url = broker.url
        self._session = session
        settings = {"DATABASE_URL": database.url, "BROKER_URL": broker.url, "DJANGO_SETTINGS_MODULE": "settings"}
        plain = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
        self._django = {**plain, **settings}
        self._traced = {**self._django, "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}
        django(PROJECT, self._django, "migrate", "--verbosity", "0")

    def measure(self, events: int, rates: dict[str, list[float]]) -> None:
        """Adds a round to the events per second of each way."""
        bodies = self._fill(events)
        few = bodies[: events // FEWER]
        for name, count, run in (
            ("bare, a confirm each", len(few), lambda: _one_by_one(self._url, few)),
            (PIPELINED, events, lambda: _pipelined(self._url, bodies)),
            (OURS, events, lambda: self._relay(self._django)),
            (TRACED, events, lambda: self._relay(self._traced)),
        ):
            if name == TRACED:
                self._fill(events)
            rates.setdefault(name, []).append(count / timed(self._url, count, run))

    def _relay(self, environment: Mapping[str, str]) -> float:
        """Measures from the first row that is removed to the last, so that the start of a process does not count."""
        rows = self._rows()
        with running([sys.executable, "-m", "django", "relay"], PROJECT, environment) as relay:
            began, first = 0.0, rows
            while (left := self._rows()) > 0:
                if relay.poll() is not None:
                    sys.exit(f"the relay ended with {relay.returncode}")
                if not began and left < rows:
                    began, first = time.perf_counter(), left
                time.sleep(0.02)
            seconds = time.perf_counter() - began
        # The first batch was under way before the clock started.
        return seconds * rows / max(1, first)

    def _rows(self) -> int:
        [(rows,)] = self._session.execute("SELECT count(*) FROM chassis_outbox").fetchall()
        return int(rows)

    def _fill(self, events: int) -> list[bytes]:
        self._session.execute("TRUNCATE chassis_outbox, chassis_published")
        django(PROJECT, self._django, "fill", str(events), str(KEYS), TYPE)
        self._session.execute("VACUUM ANALYZE chassis_outbox")
        return [bytes(body) for (body,) in self._session.execute("SELECT body FROM chassis_outbox ORDER BY id")]


class Others:
    """The peers, in a database of their own on the same server, with the same queue."""

    def __init__(self, python: Path, session: psycopg.Connection[Any], database: Place, broker: Place) -> None:
        session.execute(f"CREATE DATABASE {PEERS_DATABASE}")
        url = database.url.rpartition("/")[0] + f"/{PEERS_DATABASE}"
        self._url = broker.url
        self._session = psycopg.connect(url, autocommit=True)
        self._peers = Peers(python, Place(url, ()), broker, QUEUE)

    def rate(self, peer: Peer, events: int) -> float:
        """Events per second of one round."""
        self._peers.fill(peer, self._session, events, KEYS)
        with connected(self._url) as channel:
            seconds = timed(
                self._url,
                events,
                lambda: self._peers.publish(peer, self._session, lambda: waiting(channel), events),
            )
        return events / seconds


def timed(url: str, count: int, run: Callable[[], float]) -> float:
    """Seconds that the way itself took; then all its messages are in the queue, which is emptied."""
    with connected(url) as channel:
        _declare(channel)
        channel.queue_purge(QUEUE)
        seconds = run()
        deadline = time.monotonic() + 30
        while (found := waiting(channel)) != count:
            if time.monotonic() > deadline:
                sys.exit(f"{found} of {count} messages are in the queue")
            time.sleep(0.05)
        channel.queue_purge(QUEUE)
    return seconds


def waiting(channel: Any) -> int:
    """How many messages are in the queue."""
    return int(channel.queue_declare(QUEUE, passive=True).message_count)


def _one_by_one(url: str, bodies: list[bytes]) -> float:
    with connected(url, confirm_publish=True) as channel:
        began = time.perf_counter()
        for body in bodies:
            channel.basic_publish(_message(body), "events", TYPE, mandatory=True)
        return time.perf_counter() - began


def _pipelined(url: str, bodies: list[bytes]) -> float:
    confirmed = 0
    unordered: set[int] = set()

    def match(tag: int, multiple: bool) -> None:
        nonlocal confirmed
        if multiple:
            confirmed = max(confirmed, tag)
        else:
            unordered.add(tag)
        while confirmed + 1 in unordered:
            confirmed += 1
            unordered.discard(confirmed)

    with connected(url) as channel:
        channel.confirm_select()
        channel.events["basic_ack"].add(match)
        began = time.perf_counter()
        for sent, body in enumerate(bodies, 1):
            channel.basic_publish(_message(body), "events", TYPE, mandatory=True)
            while sent - confirmed >= WINDOW:
                channel.connection.drain_events(timeout=30)
        while confirmed < len(bodies):
            channel.connection.drain_events(timeout=30)
        return time.perf_counter() - began


def _message(body: bytes) -> amqp.Message:
    return amqp.Message(body, content_type="application/cloudevents+json", delivery_mode=2)


def _declare(channel: Any) -> None:
    channel.exchange_declare("events", "topic", durable=True, auto_delete=False)
    channel.queue_declare(QUEUE, durable=True, auto_delete=False, arguments={"x-queue-type": "quorum"})
    channel.queue_bind(QUEUE, "events", TYPE)


if __name__ == "__main__":
    sys.exit(main(*(int(word) for word in sys.argv[1:])))
