"""How fast the outbox is published, beside what the broker takes at all.

    python -m tests.benchmarks.relay [EVENTS]

Starts a PostgreSQL that flushes every commit and a RabbitMQ of its own, publishes the same bodies to the same quorum
queue with a confirm each, pipelined, and through the outbox, and takes both servers down again. Figures depend on what
else runs on the machine: client, relay, database and broker share its cores.
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import amqp
import psycopg
from strangler.adapters.stack import ports
from strangler.adapters.stack.broker import PORTS, RabbitMQ, choose
from strangler.adapters.stack.program import Program, tail

from tests.suites import postgres

ROOT = Path(__file__).resolve().parents[2]
PROJECT = Path(__file__).resolve().parent / "relay_project"
QUEUE = "benchmark"
TYPE = "benchmark.thing.done"
KEYS = 2000
WINDOW = 500
ROUNDS = 3
START_SECONDS = 90.0


def main(events: int = 20_000) -> int:
    """Prints a line a way of publishing: the median of the rounds, which alternate."""
    with ExitStack() as held:
        environment = held.enter_context(postgres())
        url = held.enter_context(rabbitmq())
        django = {**os.environ, **environment, "BROKER_URL": url, "DJANGO_SETTINGS_MODULE": "settings"}
        _manage(django, "migrate", "--verbosity", "0")
        with psycopg.connect(environment["DATABASE_URL"], autocommit=True) as session:
            _tell(_measure(events, url, django, session), events)
    return 0


def _measure(events: int, url: str, django: dict[str, str], session: psycopg.Connection[Any]) -> dict[str, list[float]]:
    bodies = _fill(django, session, events)
    few = bodies[: max(200, events // 20)]
    rates: dict[str, list[float]] = {}
    for round in range(ROUNDS):
        if round:
            _fill(django, session, events)
        for name, count, run in (
            ("bare, a confirm each", len(few), lambda: _one_by_one(url, few)),
            ("bare, pipelined", events, lambda: _pipelined(url, bodies)),
            ("outbox and relay", events, lambda: _relay(django, session)),
        ):
            seconds = _timed(url, count, run)
            rates.setdefault(name, []).append(count / seconds)
    return rates


def _timed(url: str, count: int, run: Callable[[], float]) -> float:
    """Seconds the way itself took; all its messages are then in the queue, which is emptied."""
    with _connected(url) as channel:
        _declare(channel)
        channel.queue_purge(QUEUE)
        seconds = run()
        deadline = time.monotonic() + 30
        while (found := channel.queue_declare(QUEUE, passive=True).message_count) != count:
            if time.monotonic() > deadline:
                sys.exit(f"{found} of {count} messages are in the queue")
            time.sleep(0.05)
        channel.queue_purge(QUEUE)
    return seconds


def _one_by_one(url: str, bodies: list[bytes]) -> float:
    with _connected(url, confirm_publish=True) as channel:
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

    with _connected(url) as channel:
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


def _relay(django: dict[str, str], session: psycopg.Connection[Any]) -> float:
    """From the first row that is taken away to the last: a process' start is not what is measured."""
    rows = _rows(session)
    relay = subprocess.Popen([sys.executable, "-m", "django", "relay"], cwd=PROJECT, env=django)
    try:
        began, first = 0.0, rows
        while (left := _rows(session)) > 0:
            if relay.poll() is not None:
                sys.exit(f"the relay ended with {relay.returncode}")
            if not began and left < rows:
                began, first = time.perf_counter(), left
            time.sleep(0.02)
        seconds = time.perf_counter() - began
    finally:
        relay.terminate()
        relay.wait(30)
    # The first batch was under way before the clock was.
    return seconds * rows / max(1, first)


def _rows(session: psycopg.Connection[Any]) -> int:
    return int(session.execute("SELECT count(*) FROM chassis_outbox").fetchone()[0])  # type: ignore[index]


def _fill(django: dict[str, str], session: psycopg.Connection[Any], events: int) -> list[bytes]:
    session.execute("TRUNCATE chassis_outbox, chassis_published")
    _manage(django, "fill", str(events), str(KEYS), TYPE)
    session.execute("VACUUM ANALYZE chassis_outbox")
    return [bytes(body) for (body,) in session.execute("SELECT body FROM chassis_outbox ORDER BY id")]


def _manage(django: dict[str, str], *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "django", *arguments], cwd=PROJECT, env=django, check=True)


def _message(body: bytes) -> amqp.Message:
    return amqp.Message(body, content_type="application/cloudevents+json", delivery_mode=2)


@contextmanager
def _connected(url: str, **options: Any) -> Iterator[Any]:
    parts = urlsplit(url)
    host = f"{parts.hostname}:{parts.port}"
    connection = amqp.Connection(host, userid=parts.username, password=parts.password, virtual_host="/", **options)
    connection.connect()
    try:
        yield connection.channel()
    finally:
        connection.close()


def _declare(channel: Any) -> None:
    channel.exchange_declare("events", "topic", durable=True, auto_delete=False)
    channel.queue_declare(QUEUE, durable=True, auto_delete=False, arguments={"x-queue-type": "quorum"})
    channel.queue_bind(QUEUE, "events", TYPE)


@contextmanager
def rabbitmq() -> Iterator[str]:
    """A private node's address."""
    with tempfile.TemporaryDirectory(prefix="relay-") as folder:
        state = Path(folder)
        broker = choose(state, ports.assign(PORTS, {}, state / "ports.json"), "benchmark")
        if not isinstance(broker, RabbitMQ):
            sys.exit("rabbitmq-server is not installed")
        running: list[tuple[Program, subprocess.Popen[bytes]]] = []
        try:
            for program in broker.programs():
                running.append((program, _start(program)))
            yield broker.url
        finally:
            for program, process in reversed(running):
                process.send_signal(program.stop_signal)
                process.wait(program.stop_seconds + 30)


def _start(program: Program) -> subprocess.Popen[bytes]:
    program.log.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, **program.environment}
    with program.log.open("ab") as log:
        process = subprocess.Popen(program.command, cwd=program.directory, env=environment, stdout=log, stderr=log)
    deadline = time.monotonic() + START_SECONDS
    while not program.ready():
        if process.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"{program.name} does not start:\n{tail(program.log)}")
        time.sleep(0.05)
    return process


def _tell(rates: dict[str, list[float]], events: int) -> None:
    best = statistics.median(rates["bare, pipelined"])
    print(f"{platform.machine()}, {os.cpu_count()} cores, {events} events of {KEYS} keys, {ROUNDS} rounds, fsync on")
    for name, measured in rates.items():
        median = statistics.median(measured)
        spread = f"{min(measured):,.0f} to {max(measured):,.0f}"
        print(f"{name:<22} {median:8,.0f} events/s   {median / best:6.1%} of bare pipelined   ({spread})")


if __name__ == "__main__":
    sys.exit(main(*(int(word) for word in sys.argv[1:])))
