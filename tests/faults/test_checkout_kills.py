"""``kill -9`` and cut networks while customers check out, with everything owned by its service."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from random import Random

import pytest

from tests.contract.sides import CAPABILITIES
from tests.faults.books import Books
from tests.faults.checkouts import Testimony
from tests.faults.invariants import (
    INVARIANTS,
    Invariant,
    every_acknowledged_order_is_there_once,
    every_event_is_told_and_handled_once,
    money_is_held_for_confirmed_orders_alone,
    stock_is_what_is_not_sold,
    stock_was_never_below_zero,
    stock_was_taken_and_given_back_once,
    the_order_of_each_key_is_kept,
)
from tests.faults.market import LINKED, Market, check, opened

PROCESSES = (
    "orders-relay",
    "products-relay",
    "orders-worker",
    "products-worker",
    "orders",
    "products",
    "broker",
    "postgres-orders",
    "postgres-products",
)
OF_THE_RUN = "SELECT id FROM orders_order WHERE idempotency_key LIKE 'fault-%'"
DAMAGE = (
    (
        "orders",
        f"UPDATE orders_order SET idempotency_key = 'fault-' || id WHERE id = ({OF_THE_RUN} LIMIT 1)",
        every_acknowledged_order_is_there_once,
    ),
    (
        "products",
        "UPDATE products_product SET stock = stock + 1 WHERE id = (SELECT max(id) FROM products_product)",
        stock_is_what_is_not_sold,
    ),
    (
        "products",
        "ALTER TABLE products_product DROP CONSTRAINT products_stock_not_negative",
        stock_was_never_below_zero,
    ),
    (
        "orders",
        f"UPDATE orders_payment SET state = 'authorized' WHERE state = 'returned' AND order_id IN ({OF_THE_RUN})",
        money_is_held_for_confirmed_orders_alone,
    ),
    (
        "products",
        "INSERT INTO products_stockmovement (product_id, delta, reason, reference, created_at) "
        "SELECT product_id, delta, reason, reference, created_at FROM products_stockmovement "
        "WHERE reason = 'return' ORDER BY id DESC LIMIT 1",
        stock_was_taken_and_given_back_once,
    ),
    (
        "orders",
        "DELETE FROM chassis_published WHERE id = (SELECT max(id) FROM chassis_published)",
        every_event_is_told_and_handled_once,
    ),
    (
        "products",
        "UPDATE products_inbox SET handled_at = clock_timestamp() WHERE type = 'products.reserve' AND subject = "
        "(SELECT subject FROM products_inbox WHERE type = 'products.release' ORDER BY handled_at DESC LIMIT 1)",
        the_order_of_each_key_is_kept,
    ),
)
CUT_SECONDS = 6.0  # longer than a call, a request's wait and a connection's opening take
FAULTS = 25
ROUNDS = 3


@pytest.fixture(scope="module")
def market(rabbitmq: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    """A stack whose services own everything."""
    with opened(tmp_path_factory.mktemp("market")) as found:
        found.move_out(*CAPABILITIES)
        yield found


@pytest.fixture(scope="module")
def killed(market: Market) -> tuple[Testimony, Books]:
    """The rows after each process was killed once, one after another, under the same traffic."""
    traffic = market.checkouts()
    with market.watched(traffic.testimony) as found, traffic:
        for process in PROCESSES:
            market.kill(process)
            traffic.get_through()
    print(f"{len(traffic.testimony.purchases)} orders, repeated after {dict(traffic.testimony.outages)}")
    return traffic.testimony, found


@pytest.mark.parametrize("invariant", INVARIANTS, ids=lambda each: each.__name__)
def test_each_process_may_be_killed(killed: tuple[Testimony, Books], invariant: Invariant) -> None:
    testimony, found = killed

    assert invariant(testimony, found) == []


@pytest.mark.parametrize(
    ("database", "statement", "invariant"), DAMAGE, ids=[invariant.__name__ for *_, invariant in DAMAGE]
)
def test_damage_would_be_found(
    market: Market, killed: tuple[Testimony, Books], database: str, statement: str, invariant: Invariant
) -> None:
    """In the very rows that were read before; in a transaction that is rolled back."""
    testimony, found = killed

    with market.sessions() as sessions, sessions[database].transaction(force_rollback=True):
        assert sessions[database].execute(statement.encode()).rowcount != 0
        damaged = replace(market.read(sessions, testimony, found.since), heard=found.heard, lowest=found.lowest)

    assert invariant(testimony, damaged) != []


@pytest.mark.soak
@pytest.mark.parametrize("closing", [False, True], ids=["silent", "closing"])
@pytest.mark.parametrize("link", LINKED)
def test_each_link_may_be_cut(market: Market, link: str, closing: bool) -> None:
    traffic = market.checkouts()

    with market.watched(traffic.testimony) as found, traffic:
        before = market.links[link].accepted
        with market.links[link].cut(closing=closing):
            time.sleep(CUT_SECONDS)  # the fault itself, and no wait
        traffic.get_through()

    check(traffic.testimony, found)
    assert market.links[link].accepted > before or not closing, "nobody used the link"


@pytest.mark.soak
@pytest.mark.parametrize("round_", range(ROUNDS))
def test_anything_may_fail_at_random(market: Market, round_: int) -> None:
    """FAULTS_SEED repeats what a run has printed, as far as time allows."""
    seed = f"{os.environ.get('FAULTS_SEED') or time.time_ns()}/{round_}"
    print(f"FAULTS_SEED={seed.rpartition('/')[0]}, round {round_}")
    rng = Random(seed)
    traffic = market.checkouts(buyers=6, seed=rng.randrange(1000))

    with market.watched(traffic.testimony) as found, traffic:
        for _ in range(FAULTS):
            _fail(market, rng)
        market.await_answers(PROCESSES)

    check(traffic.testimony, found)


def _fail(market: Market, rng: Random) -> None:
    """Kills a few processes in short succession, often while a link is cut."""
    link = market.links[rng.choice(list(LINKED))]
    with link.cut(closing=rng.random() < 0.5) if rng.random() < 0.5 else nullcontext():
        for process in rng.sample(PROCESSES, rng.choice((0, 1, 1, 2))):
            print(f"{time.strftime('%H:%M:%S')} kill {process}")
            market.strike(process)
            time.sleep(rng.uniform(0, 2))
        time.sleep(rng.uniform(0, CUT_SECONDS))
