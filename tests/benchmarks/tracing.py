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

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import psutil
import psycopg
from strangler.stack import ports, secrets

from tests.benchmarks import servers

PROJECT = Path(__file__).resolve().parents[2] / "services" / "products"
WARMING = 200
PRODUCTS = 50
PATH = "/api/v1/products?page_size=20"
GOAL_PERCENT = 5.0
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
    """Prints a table of medians and ratios; fails where no span has arrived."""
    with ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-")))
        database = held.enter_context(servers.postgres())
        environment = _environment(folder, database.url)
        servers.django(PROJECT, environment, "migrate", "--verbosity", "0")
        with psycopg.connect(database.url, autocommit=True) as session:
            session.execute(INSERT, [PRODUCTS])
        endpoint, spans = held.enter_context(servers.collector())
        numbers = ports.assign(tuple(TITLES), {}, folder / "ports.json")
        more = {
            "without": {"DJANGO_SETTINGS_MODULE": "without_traces"},
            "again": {"DJANGO_SETTINGS_MODULE": "without_traces"},
            "off": {},
            "on": {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_TRACES_SAMPLER": "parentbased_always_on"},
        }
        webs = {name: held.enter_context(_web(numbers[name], {**environment, **more[name]})) for name in numbers}
        taken = _measure(webs, requests)
        _tell(taken, {name: web.cpu_ms(requests) for name, web in webs.items()})
        print(f"spans that arrived: {spans.value}")
        return 0 if spans.value else 1


def _environment(folder: Path, url: str) -> Mapping[str, str]:
    (folder / "without_traces.py").write_text(WITHOUT)
    plain = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    return {
        **plain,
        **secrets.environment({"SECRET_KEY": "text", "SERVICE_KEY_FILE": "ed25519"}, folder / "secrets"),
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "PYTHONPATH": os.pathsep.join((str(PROJECT), str(folder))),
        "DATABASE_URL": url,
        "BROKER_URL": "memory://",
        "GATEWAY_URL": "http://127.0.0.1:1",
        "OPEN_WITHOUT_MOVE": "1",
        "WEB_WORKERS": "1",
    }


class _Web:
    """A server with one process, asked over one connection."""

    def __init__(self, pid: int, client: httpx.Client) -> None:
        (self._worker,) = psutil.Process(pid).children()
        self._began = 0.0
        self.get = client.get

    def begin(self) -> None:
        """From now on it counts."""
        self._began = self._used()

    def cpu_ms(self, requests: int) -> float:
        """Per request."""
        return 1000 * (self._used() - self._began) / requests

    def _used(self) -> float:
        times = self._worker.cpu_times()
        return float(times.user + times.system)


@contextmanager
def _web(port: int, environment: Mapping[str, str]) -> Iterator[_Web]:
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "config.wsgi:application",
        "--config",
        "python:chassis.servers.gunicorn",
    ]
    with (
        servers.running(command, PROJECT, {**environment, "PORT": str(port)}, quiet=True) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client,
    ):
        servers.until(lambda: _is_ready(client))
        yield _Web(process.pid, client)


def _is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


def _measure(webs: Mapping[str, _Web], requests: int) -> Mapping[str, list[float]]:
    taken: dict[str, list[float]] = {name: [] for name in webs}
    for number in range(WARMING + requests):
        if number == WARMING:
            for web in webs.values():
                web.begin()
        # Whoever comes after a process that has just worked would find its caches: so each comes after each.
        for name in sorted(webs, key=lambda name: hash((number, name))):
            began = time.perf_counter()
            webs[name].get(PATH).raise_for_status()
            if number >= WARMING:
                taken[name].append(time.perf_counter() - began)
    return taken


def _tell(taken: Mapping[str, list[float]], cpu: Mapping[str, float]) -> None:
    base = statistics.median(taken["without"])
    print(f"{len(taken['on'])} requests each of GET {PATH}, one at a time, in turn\n")
    print(f"{'':28}{'p50 ms':>9}{'ratio':>9}{'p95 ms':>9}{'CPU ms':>9}")
    for name, title in TITLES.items():
        found = sorted(taken[name])
        half = statistics.median(found)
        late = found[int(0.95 * len(found))]
        print(f"{title:28}{1000 * half:9.2f}{half / base:9.3f}{1000 * late:9.2f}{cpu[name]:9.2f}")
    cost = 100 * (statistics.median(taken["on"]) / statistics.median(taken["off"]) - 1)
    print(f"\non, compared with off: {cost:+.1f} % of the p50 (the goal is at most {GOAL_PERCENT:.0f} %)")


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
