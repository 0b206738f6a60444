"""How long it takes from the commit of an event to the commit of the transaction that handles it.

    python -m tests.benchmarks.latency [RATE ...]

Starts a PostgreSQL that flushes every commit and a RabbitMQ of its own. At each rate, events are written into the
outbox for some seconds, one per transaction; one relay publishes them and one worker process handles them, each with
the inbox row and one insert by the ORM in one transaction. Times are those of the commits, as PostgreSQL notes them.
The table also shows the processor time of each process per event: everything shares the machine's cores, and if the
events of one second need more than one second of all cores, the benchmark measures a queue.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import psutil
import psycopg

from tests.benchmarks import consumer
from tests.benchmarks.consumer import PROJECT
from tests.benchmarks.servers import django, postgres, rabbitmq, running, until

RATES = (250, 500, 1000)
TELLING = 15.0  # seconds at each rate
GOAL_MS = 50
REACHED = 0.98  # the share of a rate below which the rate was missed

TOLD = """
SELECT (count(*) - 1) / extract(epoch FROM max(at) - min(at))::float8
FROM (SELECT pg_xact_commit_timestamp(xmin) AS at FROM counting_told) told
"""
# All rows of a batch that the relay has published leave the outbox together; the worker may be faster than that.
DELAYS = """
WITH told AS (SELECT message_id, pg_xact_commit_timestamp(xmin) AS at FROM counting_told),
     done AS (SELECT message_id, pg_xact_commit_timestamp(xmin) AS at FROM counting_effect),
     way AS (
       SELECT told.at AS told, p.published_at AS published, i.handled_at AS begun, done.at AS done
       FROM told JOIN done USING (message_id) JOIN counting_inbox i USING (message_id)
       JOIN chassis_published p USING (message_id))
SELECT name, percentile_cont(ARRAY[0.5, 0.99, 1.0]) WITHIN GROUP (ORDER BY 1000 * extract(epoch FROM length)::float8)
FROM way, LATERAL (VALUES (1, 'commit to handled', done - told), (2, '  commit to out of the outbox', published - told),
                          (3, '  commit to the handler''s first row', begun - told),
                          (4, '  in the handler''s transaction', done - begun)) part (place, name, length)
GROUP BY place, name ORDER BY place
"""


def main(*rates: int) -> int:
    """Prints the delays at each rate; fails when an event was lost or handled twice."""
    with ExitStack() as held:
        database, broker = held.enter_context(postgres()), held.enter_context(rabbitmq())
        environment = consumer.environment(database, broker)
        session = held.enter_context(psycopg.connect(database.url, autocommit=True))
        django(PROJECT, environment, "migrate", "--run-syncdb", "--verbosity", "0")
        worker = held.enter_context(consumer.worker(environment))
        until(lambda: consumer.declared(broker.url))
        relay = held.enter_context(running([sys.executable, "-m", "django", "relay"], PROJECT, environment))
        pids = {"worker": [worker.pid], "relay": [relay.pid], "PostgreSQL": database.pids, "RabbitMQ": broker.pids}
        print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, fsync on")
        _run(environment, session, events=500, rate=100)  # warms all of them
        for rate in rates or RATES:
            with _processors(pids) as used:
                _run(environment, session, events=int(rate * TELLING), rate=rate)
            _tell(session, rate, used)
    return 0


def _run(environment: Mapping[str, str], session: psycopg.Connection[Any], *, events: int, rate: int) -> None:
    session.execute("TRUNCATE counting_inbox, counting_effect, counting_told, chassis_published")
    django(PROJECT, environment, "tell", str(events), str(rate))
    until(lambda: consumer.count(session) == events)
    until(lambda: session.execute("SELECT NOT EXISTS (SELECT FROM chassis_outbox)").fetchone() == (True,))


def _tell(session: psycopg.Connection[Any], rate: int, used: Mapping[str, float]) -> None:
    [(reached,)] = session.execute(TOLD.encode()).fetchall()
    [(events,)] = session.execute("SELECT count(*) FROM counting_told").fetchall()
    missed = "" if reached >= REACHED * rate else "   THE RATE WAS MISSED"
    print(f"\n{rate}/s asked, {reached:,.0f}/s written, n = {events}{missed}")
    for name, (median, most, worst) in session.execute(DELAYS.encode()).fetchall():
        print(f"  {name:<36} p50 {median:8.1f} ms   p99 {most:8.1f} ms   worst {worst:8.1f} ms")
    parts = ", ".join(f"{name} {1e6 * seconds / events:.0f}" for name, seconds in used.items())
    whole = 1e6 * sum(used.values()) / events
    print(f"  µs of a processor an event: {parts}; together {whole:.0f}", flush=True)


@contextmanager
def _processors(pids: Mapping[str, Sequence[int]]) -> Iterator[dict[str, float]]:
    """Seconds of processor time that each process and its children have used inside the block."""
    before = {name: _computed(of) for name, of in pids.items()}
    used: dict[str, float] = {}
    yield used
    used.update({name: _computed(of) - before[name] for name, of in pids.items()})


def _computed(pids: Sequence[int]) -> float:
    seconds = 0.0
    for pid in pids:
        process = psutil.Process(pid)
        for each in (process, *process.children(recursive=True)):
            seconds += sum(each.cpu_times()[: 4 if each is process else 2])
    return seconds


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
