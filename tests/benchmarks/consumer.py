"""How fast one worker process handles events, and how long it takes from a commit to the handled event.

    python -m tests.benchmarks.consumer [EVENTS]

Starts a PostgreSQL that flushes every commit and a RabbitMQ of its own. First a full queue is worked off: a
transaction each, with the inbox row and one insert by the ORM. Then events are published at 1,000 a second through
outbox and relay; the times are those of the commits, as PostgreSQL notes them. Figures depend on what else runs on the
machine: everything shares its cores.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import amqp
import psycopg
from strangler.adapters.stack import ports, secrets
from strangler.adapters.stack.postgres import Server

from tests.benchmarks.relay import _connected, _start, rabbitmq

PROJECT = Path(__file__).resolve().parent / "consumer_project"
QUEUE = "counting"
TYPE = "benchmark.thing.done"
KEYS = 500
RATE = 1000
SECONDS = 180.0  # for anything that is waited for

# The first and the last tenth are start and end, not the pace.
PACE = """
SELECT 0.8 * count(*) / (percentile_cont(0.9) WITHIN GROUP (ORDER BY second)
                         - percentile_cont(0.1) WITHIN GROUP (ORDER BY second))
FROM (SELECT extract(epoch FROM handled_at)::float8 AS second FROM counting_inbox) handled
"""
DELAYS = """
SELECT percentile_cont(ARRAY[0.5, 0.99, 1.0]) WITHIN GROUP (
    ORDER BY 1000 * extract(epoch FROM pg_xact_commit_timestamp(e.xmin) - pg_xact_commit_timestamp(t.xmin))::float8)
FROM counting_told t JOIN counting_effect e USING (message_id)
"""


def main(events: int = 20_000) -> int:
    """Prints a line a measurement; fails when an event was lost or handled twice."""
    with ExitStack() as held:
        dsn = held.enter_context(postgres())
        url = held.enter_context(rabbitmq())
        django = {**os.environ, "DATABASE_URL": dsn, "BROKER_URL": url, "DJANGO_SETTINGS_MODULE": "settings"}
        _django(django, "migrate", "--run-syncdb", "--verbosity", "0")
        print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, fsync on")
        with psycopg.connect(dsn, autocommit=True) as session:
            with worker(django):  # declares its queues
                _until(lambda: _declared(url))
            _fill(url, events)
            with worker(django):
                _until(lambda: _count(session) == events)
            [rate] = _row(session, PACE)
            print(f"handled: {rate:,.0f}/s by one worker process, a transaction each, n = {events}", flush=True)
            session.execute("TRUNCATE counting_inbox, counting_effect")
            told = min(events, 20 * RATE)
            with worker(django), relay(django):
                _django(django, "tell", "500", "100")  # warms both
                _until(lambda: _count(session) == 500)
                session.execute("TRUNCATE counting_inbox, counting_effect, counting_told")
                behind = float(_django(django, "tell", str(told), str(RATE)))
                _until(lambda: _count(session) == told)
            [[median, most, worst]] = _row(session, DELAYS)
            times = f"p50 {median:.1f} ms, p99 {most:.1f} ms, worst {worst:.1f} ms"
            print(f"commit to handled at {RATE}/s: {times}, n = {told}")
            if behind > 0.1:
                print(f"the load itself was {behind:.1f} s late at its end: {told / (told / RATE + behind):,.0f}/s")
    return 0


def _fill(url: str, events: int) -> None:
    """A full queue, put there with confirms."""
    with _connected(url) as channel:
        channel.confirm_select()
        confirmed: list[int] = []
        channel.events["basic_ack"].add(lambda tag, multiple: confirmed.append(tag))
        for number in range(events):
            channel.basic_publish(_message(number), "", QUEUE, mandatory=True)
        _until(lambda: channel.queue_declare(QUEUE, passive=True).message_count == events)


def _message(number: int) -> amqp.Message:
    event = {
        "specversion": "1.0",
        "id": str(uuid4()),
        "type": TYPE,
        "source": "/telling",
        "subject": str(number % KEYS),
        "time": datetime.now(UTC).isoformat(),
        "datacontenttype": "application/json",
        "capability": "telling",
        "aggregateversion": number,
        "data": {"note": f"thing {number} of a benchmark, of a usual size", "number": number},
    }
    return amqp.Message(json.dumps(event), content_type="application/cloudevents+json", delivery_mode=2)


def _declared(url: str) -> bool:
    with _connected(url) as channel:
        try:
            channel.queue_declare(QUEUE, passive=True)
        except amqp.NotFound:
            return False
    return True


def _count(session: psycopg.Connection[Any]) -> int:
    [handled, effects] = session.execute(
        "SELECT (SELECT count(*) FROM counting_inbox), (SELECT count(*) FROM counting_effect)"
    ).fetchone() or (0, 0)
    if handled < effects:
        sys.exit(f"{effects} effects of {handled} handled events")
    return int(effects)


def _row(session: psycopg.Connection[Any], query: str) -> tuple[Any, ...]:
    return session.execute(query.encode()).fetchone() or ()


def _until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not done():
        if time.monotonic() > deadline:
            sys.exit(f"not done within {SECONDS:.0f} s")
        time.sleep(0.2)


def _django(environment: Mapping[str, str], *arguments: str) -> str:
    command = [sys.executable, "-m", "django", *arguments]
    return subprocess.run(command, cwd=PROJECT, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout


@contextmanager
def worker(environment: Mapping[str, str]) -> Iterator[None]:
    """One worker process of the project."""
    command = [sys.executable, "-m", "celery", "-A", "worker", "worker", "--pool", "threads", "--concurrency", "1"]
    with _running([*command, "--loglevel", "WARNING", "--without-gossip", "--without-mingle"], environment):
        yield


@contextmanager
def relay(environment: Mapping[str, str]) -> Iterator[None]:
    """One relay process of the project."""
    with _running([sys.executable, "-m", "django", "relay"], environment):
        yield


@contextmanager
def _running(command: list[str], environment: Mapping[str, str]) -> Iterator[None]:
    process = subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


@contextmanager
def postgres() -> Iterator[str]:
    """A server that notes the time of every commit."""
    with tempfile.TemporaryDirectory(prefix="consumer-") as folder:
        state = Path(folder)
        state.chmod(0o755)  # the server may run as another user than the one who measures
        port = ports.assign(["benchmark"], {}, state / "ports.json")["benchmark"]
        server = Server("benchmark", state, port, secrets.text(state / "secrets", "postgres"))
        server.create()
        with (state / "postgres" / "benchmark" / "postgresql.conf").open("a") as settings:
            settings.write("track_commit_timestamp = on\n")
        program = server.program()
        process = _start(program)
        try:
            server.create_database()
            yield server.dsn
        finally:
            process.send_signal(program.stop_signal)
            process.wait(program.stop_seconds)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
