"""What a move costs those who ask meanwhile: fence and middleware of an ordinary request, and the gateway before it.

    python -m tests.benchmarks.overhead [REQUESTS]

A stack of its own with the sample data. First, `products` have been copied and their streams run: a process of the
monolith as the stack starts it, beside two of the same without the fence's middleware over a copy of the database which
no move has touched. They read and write one request at a time, in turn; how far the two equal ones differ is what the
benchmark cannot tell. Then the gateway, beside the monolith itself: one client in turn, and CLIENTS at once.
"""

from __future__ import annotations

import itertools
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psycopg
from psycopg import sql

from tests.benchmarks import table, webs
from tests.benchmarks.servers import until
from tests.benchmarks.table import Figure, Goal
from tests.contract import people
from tests.stack import ROOT, Stack

READ = "/api/v1/products?page_size=20"
CLIENTS = 8
ROUND_SECONDS = 3.0
ROUNDS = 5
COPY = "untouched"
UNFENCED = """
from config.settings import *
MIDDLEWARE = [each for each in MIDDLEWARE if not each.endswith(".FenceMiddleware")]
"""
WITHOUT, AGAIN, WITH = "without", "without, the same again", "with"
GATEWAY, DIRECT = "gateway", "monolith itself"
SAME, SLOWER_MS, SHARE = 1.02, 0.5, 0.95


def main(requests: int = 800) -> int:
    """Prints the table."""
    print(table.text(figures(requests)))
    return 0


def figures(requests: int = 800) -> Iterator[Figure]:
    """Medians in milliseconds, and requests per second of several clients."""
    with tempfile.TemporaryDirectory(prefix="overhead-") as folder, Stack(Path(folder)).running() as stack:
        staff = _staff(stack)
        yield from _of_the_fence(stack, staff, requests)
        yield from _of_the_gateway(stack, requests)


def _of_the_fence(stack: Stack, staff: Mapping[str, str], requests: int) -> Iterator[Figure]:
    _copy_database(stack)
    for verb in ("start", "verify"):
        stack.run(verb, "products")
    folder = stack.folder / "overhead"
    folder.mkdir()
    (folder / "unfenced.py").write_text(UNFENCED)
    given = {**os.environ, **_variables(stack), "WEB_WORKERS": "1"}
    path = f"{ROOT / 'monolith'}:{folder}"
    without = {
        **given,
        "DATABASE_URL": urlsplit(given["DATABASE_URL"])._replace(path=f"/{COPY}").geturl(),
        "DJANGO_SETTINGS_MODULE": "unfenced",
        "PYTHONPATH": path,
    }
    numbers = itertools.count()
    with webs.started(ROOT / "monolith", folder, {WITHOUT: without, AGAIN: without, WITH: given}) as found:
        product = found[WITH].client.get(READ).json()["results"][0]["id"]

        def write(client: httpx.Client) -> httpx.Response:
            content = {"size": f"{next(numbers)} g"}
            return client.patch(f"/api/v1/products/{product}", json=content, headers=staff)

        asks = {"a read": lambda client: client.get(READ), "a write": write}
        for name, ask in asks.items():
            taken = webs.ask_in_turn(found, ask, requests)
            others = {other: taken[other].median_ms for other in (WITHOUT, AGAIN)}
            yield Figure(
                f"{name} with fence and middleware, p50", "ms", taken[WITH].median_ms, others, (Goal(SAME, WITHOUT),)
            )
            yield Figure(
                "the same, processor time of the process",
                "ms",
                taken[WITH].cpu_ms,
                {other: taken[other].cpu_ms for other in (WITHOUT, AGAIN)},
            )


def _of_the_gateway(stack: Stack, requests: int) -> Iterator[Figure]:
    addresses = {GATEWAY: stack.gateway, DIRECT: f"http://127.0.0.1:{_variables(stack)['PORT']}"}
    clients = {name: httpx.Client(base_url=address, timeout=60) for name, address in addresses.items()}
    times = webs.times_in_turn(clients, lambda client: client.get(READ), requests)
    for client in clients.values():
        client.close()
    half = {name: 1000 * statistics.median(found) for name, found in times.items()}
    yield Figure("a read through the gateway, p50", "ms", half[GATEWAY], {DIRECT: half[DIRECT]})
    yield Figure("the gateway's part of it", "ms", half[GATEWAY] - half[DIRECT], goals=(Goal(SLOWER_MS),))
    rates: dict[str, list[float]] = {name: [] for name in addresses}
    for _ in range(ROUNDS):
        for name, address in addresses.items():
            rates[name].append(webs.rate(address, READ, clients=CLIENTS, seconds=ROUND_SECONDS))
    middle = {name: statistics.median(found) for name, found in rates.items()}
    goals = (Goal(SHARE, DIRECT, least=True),)
    yield Figure(f"reads by {CLIENTS} clients at once", "per s", middle[GATEWAY], {DIRECT: middle[DIRECT]}, goals)


def _variables(stack: Stack) -> Mapping[str, str]:
    """The monolith's environment."""
    found: Mapping[str, str] = stack.json("env", "--for", "monolith")["variables"]
    return found


def _staff(stack: Stack) -> Mapping[str, str]:
    with stack.client() as api:
        return people.staff(api).headers


def _copy_database(stack: Stack) -> None:
    """The monolith's database as it is before a move. Its processes lose their connections, and make new ones."""
    url = stack.environment()["databases"]["monolith"]
    name = sql.Identifier(urlsplit(url).path.strip("/"))
    with psycopg.connect(url, dbname="postgres", autocommit=True) as session:
        _allow(session, name, allowed=False)
        try:
            session.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
                [name.as_string().strip('"')],
            )
            until(lambda: _copied(session, name))
        finally:
            _allow(session, name, allowed=True)
    until(lambda: _answers(stack))


def _allow(session: psycopg.Connection[tuple[object, ...]], name: sql.Identifier, *, allowed: bool) -> None:
    session.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}").format(name, sql.Literal(allowed)))


def _copied(session: psycopg.Connection[tuple[object, ...]], name: sql.Identifier) -> bool:
    try:
        session.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(COPY), name))
    except psycopg.errors.ObjectInUse:  # a session is about to end
        return False
    return True


def _answers(stack: Stack) -> bool:
    with stack.client() as api:
        return api.get(READ).status_code == 200


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
