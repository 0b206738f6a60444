"""What tracing costs a read: off, and on with each request sampled.

    python -m tests.benchmarks.tracing [REQUESTS]

Four processes of the products service answer the same read over the same database: two without the middleware that
makes spans, one with it where nothing asks for traces, and one that sends every span to a collector. The requests come
one at a time and in turn, so whatever else slows the machine slows all three alike; the figures to read are the ratios.
CPU is what a process itself has used per request, its sending thread included: it tells more on a busy machine.
The collector is a process of the same machine, and takes a share of it that it would not take elsewhere. The first two
processes are the same: how far they differ is what the benchmark cannot tell.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg

from tests.benchmarks import servers, table, webs
from tests.benchmarks.table import Figure, Goal

PROJECT = Path(__file__).resolve().parents[2] / "services" / "products"
PRODUCTS = 50
PATH = "/api/v1/products?page_size=20"
GOAL = 1.05
TITLES = {
    "without": "without the middleware",
    "again": "the same again",
    "off": "tracing off",
    "on": "on, every request sampled",
}
WITHOUT = """
from config.settings import *
MIDDLEWARE = [each for each in MIDDLEWARE if "TraceMiddleware" not in each]
"""
INSERT = """
INSERT INTO products_product (name, brand, size, price, currency, stock, is_active, version, created_at, updated_at)
SELECT 'Product ' || n, '', '', 1, 'USD', 10, true, 0, now(), now() FROM generate_series(1, %s) n
"""


def main(requests: int = 2000) -> int:
    """Prints the table; fails where no span has arrived."""
    print(table.text(figures(requests)))
    return 0


def figures(requests: int = 2000) -> Iterator[Figure]:
    """Medians, and processor time of the process; exits where no span has arrived."""
    with ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-")))
        database = held.enter_context(servers.postgres())
        (folder / "without_traces.py").write_text(WITHOUT)
        environment = webs.environment(PROJECT, folder, database.url)
        servers.django(PROJECT, environment, "migrate", "--verbosity", "0")
        with psycopg.connect(database.url, autocommit=True) as session:
            session.execute(INSERT, [PRODUCTS])
        endpoint, spans = held.enter_context(servers.collector())
        more = {
            "without": {"DJANGO_SETTINGS_MODULE": "without_traces"},
            "again": {"DJANGO_SETTINGS_MODULE": "without_traces"},
            "off": {},
            "on": {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_TRACES_SAMPLER": "parentbased_always_on"},
        }
        processes = {name: {**environment, **more[name]} for name in TITLES}
        with webs.started(PROJECT, folder, processes) as found:
            taken = webs.ask_in_turn(found, lambda client: client.get(PATH), requests)
        if not spans.value:
            sys.exit("no span has arrived")
    off = TITLES["off"]
    others = {title: taken[name].median_ms for name, title in TITLES.items() if name != "on"}
    yield Figure("a read with tracing on, p50", "ms", taken["on"].median_ms, others, (Goal(GOAL, off),), f"GET {PATH}")
    yield Figure("the same, processor time", "ms", taken["on"].cpu_ms, {off: taken["off"].cpu_ms})


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
