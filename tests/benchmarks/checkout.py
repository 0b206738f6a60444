"""Checkout through the services beside checkout in the monolith, and where its time goes.

    python -m tests.benchmarks.checkout [SECONDS] [CLIENTS]

Starts a stack of its own with the sample data, and measures the same customers with the same baskets three times: in
the monolith before any move; in the services, when all three capabilities have moved and the streams back still run;
and when the monolith is retired. Each time first one customer orders, and then CLIENTS at once, who order again as soon
as they have an answer. The stack is taken down at the end. Figures depend on what else runs on the machine: the
clients, every process, every database and the broker share its cores.
"""

from __future__ import annotations

import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import httpx

from tests.benchmarks import journey, table
from tests.benchmarks.journey import Purchase
from tests.benchmarks.table import Figure, Goal
from tests.contract import people
from tests.contract.people import Account
from tests.contract.sides import CAPABILITIES
from tests.stack import UP_SECONDS, Stack

WARMING = 2.0  # seconds before anything counts
LINES = 2
PRODUCTS = 100  # the first of the catalogue by name
STOCK = 1_000_000
MONOLITH = "monolith"
SLOWER, SHARE = 2.0, 0.5


@dataclass(frozen=True)
class Load:
    """What customers did between two moments, and how many seconds these were apart."""

    purchases: Sequence[Purchase]
    seconds: float

    @property
    def rate(self) -> float:
        return len(self.purchases) / self.seconds

    def quantile(self, percent: int) -> float:
        """Milliseconds from the request to its answer."""
        return _quantile(sorted(1000 * (it.answered - it.sent) for it in self.purchases), percent)


def main(seconds: float = 10.0, clients: int = 8) -> int:
    """Prints a breakdown of each side, and the table."""
    print(table.text(list(figures(seconds, clients))))
    return 0


def figures(seconds: float = 10.0, clients: int = 8) -> Iterator[Figure]:
    """Fails when an order was not confirmed."""
    with _stack() as stack:
        _tell_settings(stack, seconds, clients)
        shop = _Customers(stack, clients)
        monolith = _measure("monolith, nothing moved", shop, journey.in_monolith, seconds)
        for capability in CAPABILITIES:
            for verb in (("start",), ("verify",), ("switch", "--yes")):
                stack.run(verb[0], capability, *verb[1:])
        streaming = _measure("services, streams back run", shop, journey.through_services, seconds)
        for capability in CAPABILITIES:
            stack.run("complete", capability, "--yes")
        stack.run("retire", "--yes")
        retired = _measure("services, monolith retired", shop, journey.through_services, seconds)
    note = f"sample data, {LINES} lines an order, {seconds:.0f} s each, no time to think"
    for name, loads in (("", retired), (" while the streams back run", streaming)):
        alone, together = {MONOLITH: monolith[1].quantile(50)}, {MONOLITH: monolith[clients].rate}
        yield Figure(
            f"a checkout through the services{name}, one client, p50",
            "ms",
            loads[1].quantile(50),
            alone,
            (Goal(SLOWER, MONOLITH),),
            note,
        )
        yield Figure(
            f"the same, {clients} clients",
            "orders/s",
            loads[clients].rate,
            together,
            (Goal(SHARE, MONOLITH, least=True),),
            note,
        )


class _Customers:
    """Accounts that exist before anything moves, and what they buy."""

    def __init__(self, stack: Stack, count: int) -> None:
        self.stack = stack
        with stack.client() as api:
            self._accounts = [people.sign_up(api, people.fresh_email()) for _ in range(count)]
            staff = people.staff(api)
            found = api.get(f"/api/v1/products?page_size={PRODUCTS}&ordering=name").json()["results"]
            self._products = [product["id"] for product in found]
            for product in self._products:  # so that no order is refused
                path = f"/api/v1/products/{product}/stock"
                api.post(path, json={"delta": STOCK}, headers=staff.headers).raise_for_status()

    @property
    def count(self) -> int:
        return len(self._accounts)

    def order(self, clients: int, seconds: float) -> Load:
        """A closed loop: each has one order under way, and no time to think."""
        with ExitStack() as held, ThreadPoolExecutor(clients) as threads:
            # Each asks a command for the gateway's address, which takes seconds where the machine is busy.
            apis = [held.enter_context(self.stack.client()) for _ in range(clients)]
            began = time.time() + WARMING
            ended = began + seconds
            parts = list(threads.map(lambda api, account: self._order(api, account, ended), apis, self._accounts))
        made = [purchase for part in parts for purchase in part]
        return Load([purchase for purchase in made if began <= purchase.answered < ended], seconds)

    def _order(self, api: httpx.Client, account: Account, ended: float) -> list[Purchase]:
        rng, made = Random(account.id), []
        while time.time() < ended:
            wishes = [{"product_id": product, "quantity": 1} for product in rng.sample(self._products, LINES)]
            made.append(_place(api, account, wishes))
        return made


def _place(api: httpx.Client, account: Account, wishes: list[dict[str, int]]) -> Purchase:
    headers = {**account.headers, "Prefer": "wait=30", "Idempotency-Key": people.fresh_email()}
    sent = time.time()
    answer = api.post("/api/v1/orders", json={"lines": wishes}, headers=headers)
    answered = time.time()
    if answer.status_code != 201 or answer.json()["status"] != "confirmed":
        sys.exit(f"an order was not confirmed: {answer.status_code} {answer.text[:300]}")
    return Purchase(answer.json()["id"], sent, answered)


Breakdown = Callable[[Stack, Sequence[Purchase]], Iterator[journey.Stage]]


def _measure(name: str, shop: _Customers, breakdown: Breakdown, seconds: float) -> Mapping[int, Load]:
    """By the number of clients."""
    loads = {clients: shop.order(clients, seconds) for clients in (1, shop.count)}
    print(f"\n{name}")
    for clients, load in loads.items():
        times = f"p50 {load.quantile(50):6.1f} ms   p99 {load.quantile(99):6.1f} ms"
        print(f"  {clients:2} at once {load.rate:7.1f} orders/s   {times}   n = {len(load.purchases)}")
    stages = {clients: list(breakdown(shop.stack, load.purchases)) for clients, load in loads.items()}
    print(f"  {'where the time goes':<58}" + "".join(f"{f'{count} at once: mean':>22} {'p99':>6}" for count in stages))
    for alone, together in zip(*stages.values(), strict=True):
        print(f"    {alone.name:<56}" + "".join(_figures(stage) for stage in (alone, together)), flush=True)
    return loads


def _figures(stage: journey.Stage) -> str:
    times = sorted(stage.times)
    return f"{statistics.fmean(times):19.1f} ms {_quantile(times, 99):6.1f}"


def _quantile(times: Sequence[float], percent: int) -> float:
    """Of sorted times."""
    return times[min(len(times) - 1, len(times) * percent // 100)]


def _tell_settings(stack: Stack, seconds: float, clients: int) -> None:
    broker = stack.environment()["broker"].partition(":")[0]
    with stack.database("monolith") as session:
        settings = {name: _setting(session, name) for name in ("server_version", "fsync", "synchronous_commit")}
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, broker by {broker}, PostgreSQL"
    )
    print(", ".join(f"{name} {value}" for name, value in settings.items()))
    print(
        f"sample data, {LINES} lines an order of {PRODUCTS} products, 1 and {clients} customers, {seconds:.0f} s each"
    )


def _setting(session: Any, name: str) -> str:
    return str(session.execute("SELECT current_setting(%s)", [name]).fetchone()[0])


@contextmanager
def _stack() -> Iterator[Stack]:
    """A stack whose databases note the time of each commit, which takes a start of its own to turn on."""
    folder = Path(tempfile.mkdtemp(prefix="checkout-"))
    stack = Stack(folder)
    try:
        stack.up()
        for name in stack.environment()["databases"]:
            with stack.database(name) as session:
                session.execute("ALTER SYSTEM SET track_commit_timestamp = on")
        stack.down()
        stack.up()
        yield stack
    finally:
        try:
            stack.run("down", "--wipe", "--yes", seconds=UP_SECONDS)
        finally:
            stack.end_remains()
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(*(float(word) if place == 0 else int(word) for place, word in enumerate(sys.argv[1:]))))
