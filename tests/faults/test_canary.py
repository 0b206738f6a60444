"""Reads that both sides answer: nobody reads an older answer than before, although the stream is two seconds late."""

from __future__ import annotations

import itertools
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import httpx
import pytest

from tests.faults.customers import Customer
from tests.faults.shop import MONOLITH, SERVICE, Shop
from tests.waiting import eventually

LATE_SECONDS = 2.0
CUSTOMERS = 8
EVERY_DAY, ALL = 400, 10_000
PAIRS_OF_A_TOKEN = 100  # a token lasts for some minutes
ME = "/api/v1/users/me"
POSITIONS = ("strangler-wrote-users", "strangler-seen-users")
# Each change is applied so long after it was written; the names of these customers say when that was.
HOLD = f"""
CREATE SCHEMA IF NOT EXISTS strangler_faults;
CREATE OR REPLACE FUNCTION strangler_faults.hold() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.full_name ~ '^at [0-9.]+ ' THEN
        PERFORM pg_sleep(greatest(0, {LATE_SECONDS} + split_part(NEW.full_name, ' ', 2)::float8
                                     - extract(epoch FROM clock_timestamp())));
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER strangler_fault BEFORE UPDATE ON users_user FOR EACH ROW EXECUTE FUNCTION strangler_faults.hold();
ALTER TABLE users_user ENABLE REPLICA TRIGGER strangler_fault;
"""
LET_GO = "DROP TRIGGER strangler_fault ON users_user; DROP FUNCTION strangler_faults.hold()"


@pytest.fixture
def shared(shop: Shop) -> Iterator[Shop]:
    """Half of the customers read at the copy."""
    shop.owned_by(MONOLITH)
    if shop.stack.json("status", "users")["capabilities"]["users"]["verified"] == {}:
        shop.stack.run("verify", "users")
    shop.stack.run("canary", "users", "50")
    yield shop
    shop.stack.run("canary", "users", "0")


@pytest.fixture
def customers(shared: Shop) -> Iterator[list[Customer]]:
    """Registered in the canary, each with cookies of its own; some read at either side."""
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: Customer(shared.client()).register(), range(CUSTOMERS)))
    try:
        for customer in found:
            assert set(customer.client.cookies) >= {POSITIONS[0]}
        yield found
    finally:
        for customer in found:
            customer.client.close()


@contextmanager
def held(shop: Shop) -> Iterator[None]:
    """The stream to the service is two seconds late."""
    copy = shop.session(SERVICE)
    copy.execute(HOLD)
    try:
        yield
    finally:
        copy.execute(LET_GO)


def name_now(number: int) -> str:
    return f"at {time.time():.3f} {number}"


def read(customer: Customer, **headers: str) -> str:
    answer = customer.client.get(ME, headers={**customer.headers, **headers})
    assert answer.status_code == 200, answer.text
    name: str = answer.json()["full_name"]
    return name


def without_positions(customer: Customer) -> str:
    """Reads as a customer who keeps the gateway's cookie, and brings nothing else back."""
    for cookie in POSITIONS:
        if cookie in customer.client.cookies:
            customer.client.cookies.delete(cookie)
    return read(customer)


def pairs(customers: list[Customer], count: int, look: Callable[[Customer], str]) -> Counter[str]:
    """How many of so many pairs of a write and a read were ``stale``."""
    numbers = itertools.count()

    def shop_for_a_while(customer: Customer) -> Counter[str]:
        found: Counter[str] = Counter()
        while (number := next(numbers)) < count:
            if found.total() % PAIRS_OF_A_TOKEN == PAIRS_OF_A_TOKEN - 1:
                customer.log_in()
            name = name_now(number)
            customer.rename(name)
            found["stale" if look(customer) != name else "right"] += 1
        return found

    with ThreadPoolExecutor(len(customers)) as pool:
        return sum(pool.map(shop_for_a_while, customers), Counter())


def outcomes(shop: Shop) -> Counter[str]:
    """What has become of the reads at the copy, as the service counts them."""
    text = httpx.get(shop.stack.environment()["addresses"]["users"] + "/metrics").text
    found: Counter[str] = Counter()
    for line in text.splitlines():
        if line.startswith('chassis_copy_reads_total{capability="users"'):
            found[line.split('outcome="')[1].partition('"')[0]] += int(float(line.rpartition(" ")[2]))
    return found


def answers(shop: Shop) -> bool:
    with suppress(httpx.HTTPError):
        return outcomes(shop).total() > 0
    return False


@pytest.mark.parametrize("count", [EVERY_DAY, pytest.param(ALL, marks=pytest.mark.soak)])
def test_who_has_written_reads_it_although_the_stream_is_late(
    shared: Shop, customers: list[Customer], count: int
) -> None:
    with held(shared):
        found = pairs(customers, count, read)

    assert found == Counter(right=count)
    assert outcomes(shared)["behind"] > 0


def test_without_positions_the_same_customers_read_older_answers(shared: Shop, customers: list[Customer]) -> None:
    with held(shared):
        found = pairs(customers, EVERY_DAY, without_positions)

    assert found["stale"] > 0


def test_who_has_read_at_the_owner_reads_nothing_older_at_the_copy(shared: Shop, customers: list[Customer]) -> None:
    """Another of the customer's devices writes; this one reads here and there."""
    ended = threading.Event()

    def write(customer: Customer) -> None:
        with shared.client() as elsewhere:
            device = Customer(elsewhere)
            device.access = customer.access
            for number in itertools.count():
                if ended.is_set():
                    return
                device.rename(name_now(number))

    def look(customer: Customer) -> list[int]:
        seen = []
        for _ in range(EVERY_DAY // CUSTOMERS):
            name = read(customer, **{"X-Strangler-Route": random.choice((MONOLITH, SERVICE))})
            seen.append(int(name.rpartition(" ")[2]) if name.startswith("at ") else -1)
        return seen

    with held(shared), ThreadPoolExecutor(2 * CUSTOMERS) as pool:
        writing = [pool.submit(write, customer) for customer in customers]
        try:
            seen = list(pool.map(look, customers))
        finally:
            ended.set()
        for each in writing:
            each.result()

    assert all(one == sorted(one) for one in seen), seen
    assert any(one[-1] > 0 for one in seen)


def test_a_copy_that_keeps_up_answers_its_customers(shared: Shop, customers: list[Customer]) -> None:
    before = outcomes(shared)
    found = pairs(customers, EVERY_DAY, read)
    after = outcomes(shared)

    assert found["stale"] == 0
    assert sum((after - before)[which] for which in ("answered", "waited")) > 0


def test_a_killed_service_costs_no_read(shared: Shop, customers: list[Customer]) -> None:
    ended = threading.Event()
    failures: list[str] = []
    asked = itertools.count()

    def look(customer: Customer) -> None:
        while not ended.is_set():
            next(asked)
            answer = customer.client.get(ME, headers=customer.headers)
            if answer.status_code != 200:
                failures.append(f"{answer.status_code} {answer.text[:200]}")

    with ThreadPoolExecutor(CUSTOMERS) as pool:
        reading = [pool.submit(look, customer) for customer in customers]
        try:
            process = shared.stack.pid("users")
            os.kill(process, signal.SIGKILL)
            eventually(lambda: shared.stack.pids().get("users") not in (None, process), "it is started again")
            eventually(lambda: answers(shared), "the copy answers again")
        finally:
            ended.set()
        for each in reading:
            each.result()

    assert failures == []
    assert next(asked) > 50
