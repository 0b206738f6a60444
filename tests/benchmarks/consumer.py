"""How fast one worker process handles events.

    python -m tests.benchmarks.consumer [EVENTS]

Starts a PostgreSQL that flushes every commit and a RabbitMQ of its own, fills a queue, and handles its events: one per
transaction, with the inbox row and one insert by the ORM. Figures depend on what else runs on the machine: worker,
database and broker share its cores.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from subprocess import Popen
from typing import Any
from uuid import uuid4

import amqp
import psycopg

from tests.benchmarks.servers import Place, django, postgres, rabbitmq, running, until
from tests.broker import connected
from tests.stack import ROOT

FOLDER = Path("tests/benchmarks/consumer_project")
PROJECT = ROOT / FOLDER
QUEUE = "counting"
TYPE = "benchmark.thing.done"
KEYS = 500

# The first and the last tenth do not show the pace, but the start and the end.
PACE = """
SELECT 0.8 * count(*) / (percentile_cont(0.9) WITHIN GROUP (ORDER BY second)
                         - percentile_cont(0.1) WITHIN GROUP (ORDER BY second))
FROM (SELECT extract(epoch FROM handled_at)::float8 AS second FROM counting_inbox) handled
"""


def main(events: int = 20_000) -> int:
    """Prints one line; fails when an event was lost or handled twice."""
    with ExitStack() as held:
        database, broker = held.enter_context(postgres()), held.enter_context(rabbitmq())
        settings = environment(database, broker)
        django(PROJECT, settings, "migrate", "--run-syncdb", "--verbosity", "0")
        print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, fsync on")
        with worker(settings):  # declares its queues
            until(lambda: declared(broker.url))
        _fill(broker.url, events)
        session = held.enter_context(psycopg.connect(database.url, autocommit=True))
        with worker(settings):
            until(lambda: count(session) == events)
        [(rate,)] = session.execute(PACE.encode()).fetchall()
        print(f"handled: {rate:,.0f}/s by one worker process, a transaction each, n = {events}", flush=True)
    return 0


def environment(database: Place, broker: Place, checkout: Path = ROOT) -> dict[str, str]:
    """The environment of the project's processes, which run the code of a checkout."""
    sources = [checkout / "shared" / package / "src" for package in ("chassis", "strangler")]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, sources)),
        "DATABASE_URL": database.url,
        "BROKER_URL": broker.url,
        "DJANGO_SETTINGS_MODULE": "settings",
    }


@contextmanager
def worker(environment: Mapping[str, str], project: Path = PROJECT) -> Iterator[Popen[bytes]]:
    """One worker process of the project."""
    command = [sys.executable, "-m", "celery", "-A", "worker", "worker", "--pool", "threads", "--concurrency", "1"]
    command += ["--loglevel", "WARNING", "--without-gossip", "--without-mingle"]
    with running(command, project, environment) as process:
        yield process


def declared(url: str) -> bool:
    """Whether a worker has made its queue."""
    with connected(url) as channel:
        try:
            channel.queue_declare(QUEUE, passive=True)
        except amqp.NotFound:
            return False
    return True


def count(session: psycopg.Connection[Any]) -> int:
    """How many events have had their effect; more of them than events end the benchmark."""
    [handled, effects] = session.execute(
        "SELECT (SELECT count(*) FROM counting_inbox), (SELECT count(*) FROM counting_effect)"
    ).fetchone() or (0, 0)
    if handled < effects:
        sys.exit(f"{effects} effects of {handled} handled events")
    return int(effects)


def _fill(url: str, events: int) -> None:
    """A full queue, put there with confirms."""
    with connected(url) as channel:
        channel.confirm_select()
        for number in range(events):
            channel.basic_publish(_message(number), "", QUEUE, mandatory=True)
        until(lambda: channel.queue_declare(QUEUE, passive=True).message_count == events)


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


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
