"""What a throttle costs a read: with counts that all processes share, with those of one process, and without one.

    python -m tests.benchmarks.throttle [REQUESTS]

Four processes of the products service answer the same read over the same database: two without a throttle, one whose
throttle counts in its memory, and one that counts in the database. Nobody is refused. First the requests come one at a
time and in turn, so whatever else slows the machine slows all four alike; then from CLIENTS at once, for all threads of
a process count in one session. The figures to read are the ratios. The first two processes are the same: how far they
differ is what the benchmark cannot tell.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import psycopg

from tests.benchmarks import servers, table, webs
from tests.benchmarks.table import Figure, Goal
from tests.benchmarks.tracing import INSERT, PATH, PRODUCTS, PROJECT

CLIENTS = 8
ROUNDS = 5
ROUND_SECONDS = 3.0
WITHOUT, AGAIN, PROCESS, SHARED = "without", "without, the same again", "counted by the process", "counted by all"
DEARER, SHARE = 1.2, 0.8
THROTTLED = """
from config.settings import *
REST_FRAMEWORK = {{
    **REST_FRAMEWORK,
    "DEFAULT_THROTTLE_CLASSES": ["chassis.rest.throttles.AnonThrottle"],
    "DEFAULT_THROTTLE_RATES": {{**REST_FRAMEWORK.get("DEFAULT_THROTTLE_RATES", {{}}), "anon": "100000000/day"}},
}}
CHASSIS_COUNTS = "{counts}"
"""
COUNTED = "SELECT coalesce(sum(number), 0) FROM chassis_count"


def main(requests: int = 2000) -> int:
    """Prints the table; fails where the shared throttle has counted nothing."""
    print(table.text(figures(requests)))
    return 0


def figures(requests: int = 2000) -> Iterator[Figure]:
    """Medians, processor time of the process, and requests per second of several clients."""
    with ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-")))
        database = held.enter_context(servers.postgres())
        environment = webs.environment(PROJECT, folder, database.url)
        servers.django(PROJECT, environment, "migrate", "--verbosity", "0")
        session = held.enter_context(psycopg.connect(database.url, autocommit=True))
        session.execute(INSERT, [PRODUCTS])
        more = {WITHOUT: {}, AGAIN: {}, PROCESS: _settings(folder, "process"), SHARED: _settings(folder, "database")}
        processes = {name: {**environment, **each} for name, each in more.items()}
        with webs.started(PROJECT, folder, processes) as found:
            taken = webs.ask_in_turn(found, lambda client: client.get(PATH), requests)
            if session.execute(COUNTED).fetchone() != (webs.WARMING + requests,):
                sys.exit("not every request was counted by all, or others were")
            rates = _rates(found)
    others = [name for name in more if name != SHARED]
    medians = {name: taken[name].median_ms for name in others}
    yield Figure("a read with a shared throttle, p50", "ms", taken[SHARED].median_ms, medians, (Goal(DEARER, WITHOUT),))
    used = {name: taken[name].cpu_ms for name in others}
    yield Figure("the same, processor time of the process", "ms", taken[SHARED].cpu_ms, used)
    beside = {name: rates[name] for name in others}
    goals = (Goal(SHARE, WITHOUT, least=True),)
    yield Figure(f"the same, {CLIENTS} clients at once", "per s", rates[SHARED], beside, goals)


def _rates(found: Mapping[str, webs.Web]) -> Mapping[str, float]:
    """The median of several rounds, in which one comes after the other."""
    rates: dict[str, list[float]] = {name: [] for name in found}
    for _ in range(ROUNDS):
        for name, web in found.items():
            rates[name].append(webs.rate(str(web.client.base_url), PATH, clients=CLIENTS, seconds=ROUND_SECONDS))
    return {name: statistics.median(each) for name, each in rates.items()}


def _settings(folder: Path, counts: str) -> Mapping[str, str]:
    """The environment of a process whose throttle counts there."""
    (folder / f"counted_by_{counts}.py").write_text(THROTTLED.format(counts=counts))
    return {"DJANGO_SETTINGS_MODULE": f"counted_by_{counts}"}


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
