"""How long it takes from the commit of an event to the commit of the transaction that handles it, and what it costs.

    python -m tests.benchmarks.latency [RATE ...]

Starts a PostgreSQL that flushes every commit and a RabbitMQ of its own. At each rate, events are written into the
outbox for some seconds, one per transaction; one relay publishes them and one worker process handles them, each with
the inbox row and one insert by the ORM. Times are those of the commits, as PostgreSQL notes them. The cost is the
processor time of relay, worker, PostgreSQL and RabbitMQ together, per event; PostgreSQL's also has the writing of the
events. Everything shares the machine's cores, and if the events of one second need more than one second of all cores,
the benchmark measures a queue.

``PEER_CHECKOUT`` in the environment names another checkout of this repository, for instance a worktree of an earlier
commit. Then its code is measured in the same way, with servers of its own: at each rate the two take turns, so that
what else runs on the machine concerns both. Of several rounds the medians count.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg

from tests.benchmarks import consumer, table
from tests.benchmarks.servers import django, postgres, rabbitmq, running, until
from tests.benchmarks.table import Figure, Goal
from tests.stack import ROOT

RATES = (100, 250, 500, 1000)
TELLING, ROUNDS = 6.0, 3  # seconds at each rate in a round
MOST_MS, COST = 50, 0.5
IDLE = 1 / 3  # of the processors
REACHED = 0.98  # the share of a rate below which the rate was missed
BROKER = "RabbitMQ"
PEER = "PEER_CHECKOUT"

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


@dataclass(frozen=True)
class Found:
    """What was measured at one rate: milliseconds at half, at 99 % and at most, by part of the way; microseconds of a
    processor per event, by process; the share of all processors that was idle; events written per second."""

    rate: int
    delays: Mapping[str, Sequence[float]]
    cost: Mapping[str, float]
    idle: float
    reached: float

    @property
    def together(self) -> float:
        return sum(self.cost.values())

    @property
    def handled(self) -> Sequence[float]:
        """Of the whole way."""
        return next(iter(self.delays.values()))


def main(*rates: int) -> int:
    """Prints the parts at each rate, then the table."""
    print(table.text(list(figures(rates or RATES))))
    return 0


def figures(rates: Sequence[int] = RATES) -> Iterator[Figure]:
    """Fails when an event was lost or handled twice."""
    other = os.environ.get(PEER)
    measured = _measure([*([Path(other).resolve()] if other else []), ROOT], rates)
    before, found = measured[0], measured[-1]
    peer = f"commit {_commit(Path(other))}" if other else ""
    goals = (Goal(COST, peer),) if other else ()
    for place, each in enumerate(found):
        parts = ", ".join(f"{name} {value:.0f}" for name, value in each.cost.items())
        beside = {peer: before[place].together} if other else {}
        yield Figure(
            f"an event at {each.rate}/s, all processes", "µs of a processor", each.together, beside, goals, parts
        )
        beside = {peer: before[place].together - before[place].cost[BROKER]} if other else {}
        yield Figure("the same without the broker", "µs of a processor", each.together - each.cost[BROKER], beside)
    fit = [place for place, each in enumerate(found) if each.idle >= IDLE and each.reached >= REACHED * each.rate]
    place = max(fit, default=0)
    beside = {peer: before[place].handled[1]} if other else {}
    note = (
        f"the highest of {', '.join(map(str, rates))}/s that left a third of the processors idle"
        if fit
        else "no rate did"
    )
    yield Figure(
        f"from commit to handled at {found[place].rate}/s, p99",
        "ms",
        found[place].handled[1],
        beside,
        (Goal(MOST_MS),),
        note,
    )


@dataclass(frozen=True)
class _Side:
    """A checkout's processes, on servers of their own."""

    checkout: Path
    environment: Mapping[str, str]
    session: psycopg.Connection[Any]
    pids: Mapping[str, Sequence[int]]

    @property
    def project(self) -> Path:
        return self.checkout / consumer.FOLDER


def _measure(checkouts: Sequence[Path], rates: Sequence[int]) -> list[list[Found]]:
    """With the code of each checkout, at each rate."""
    with ExitStack() as held:
        sides = [held.enter_context(_side(checkout)) for checkout in checkouts]
        print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, fsync on, medians of {ROUNDS} rounds")
        found = []
        for rate in rates:
            rounds = [[_at(rate, side) for side in sides] for _ in range(ROUNDS)]
            found.append([_middle(of_one) for of_one in zip(*rounds, strict=True)])
            for side, middle in zip(sides, found[-1], strict=True):
                _tell(side, middle)
        return [list(of_one) for of_one in zip(*found, strict=True)]


@contextmanager
def _side(checkout: Path) -> Iterator[_Side]:
    """All of it is warm."""
    project = checkout / consumer.FOLDER
    with ExitStack() as held:
        database, broker = held.enter_context(postgres()), held.enter_context(rabbitmq())
        environment = consumer.environment(database, broker, checkout)
        session = held.enter_context(psycopg.connect(database.url, autocommit=True))
        django(project, environment, "migrate", "--run-syncdb", "--verbosity", "0")
        worker = held.enter_context(consumer.worker(environment, project))
        until(lambda: consumer.declared(broker.url))
        relay = held.enter_context(running([sys.executable, "-m", "django", "relay"], project, environment))
        pids = {"worker": [worker.pid], "relay": [relay.pid], "PostgreSQL": database.pids, BROKER: broker.pids}
        side = _Side(checkout, environment, session, pids)
        _run(side, events=500, rate=100)
        yield side


def _at(rate: int, side: _Side) -> Found:
    psutil.cpu_times_percent()
    with _processors(side.pids) as used:
        _run(side, events=int(rate * TELLING), rate=rate)
    idle = psutil.cpu_times_percent().idle / 100
    [(reached,)] = side.session.execute(TOLD.encode()).fetchall()
    [(events,)] = side.session.execute("SELECT count(*) FROM counting_told").fetchall()
    delays = dict(side.session.execute(DELAYS.encode()).fetchall())
    return Found(rate, delays, {name: 1e6 * seconds / events for name, seconds in used.items()}, idle, reached)


def _middle(rounds: Sequence[Found]) -> Found:
    """Each figure's median."""
    first = rounds[0]
    return Found(
        first.rate,
        {
            name: [statistics.median(times) for times in zip(*(each.delays[name] for each in rounds), strict=True)]
            for name in first.delays
        },
        {name: statistics.median(each.cost[name] for each in rounds) for name in first.cost},
        statistics.median(each.idle for each in rounds),
        statistics.median(each.reached for each in rounds),
    )


def _run(side: _Side, *, events: int, rate: int) -> None:
    side.session.execute("TRUNCATE counting_inbox, counting_effect, counting_told, chassis_published")
    django(side.project, side.environment, "tell", str(events), str(rate))
    until(lambda: consumer.count(side.session) == events)
    until(lambda: side.session.execute("SELECT NOT EXISTS (SELECT FROM chassis_outbox)").fetchone() == (True,))


def _tell(side: _Side, found: Found) -> None:
    print(f"\ncommit {_commit(side.checkout)}")
    missed = "" if found.reached >= REACHED * found.rate else "   THE RATE WAS MISSED"
    print(f"{found.rate}/s asked, {found.reached:,.0f}/s written, {found.idle:.0%} of the processors idle{missed}")
    for name, (median, most, worst) in found.delays.items():
        print(f"  {name:<36} p50 {median:8.1f} ms   p99 {most:8.1f} ms   worst {worst:8.1f} ms")
    parts = ", ".join(f"{name} {value:.0f}" for name, value in found.cost.items())
    print(f"  µs of a processor an event: {parts}; together {found.together:.0f}", flush=True)


def _commit(checkout: Path) -> str:
    return subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], cwd=checkout, text=True).strip()


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
