"""Checkouts while orders and products are on different sides, and while they change them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.market import MONOLITH, SERVICE, Market, check, opened


@pytest.fixture(scope="module")
def market(rabbitmq: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    """A stack on which users have moved, as they do first, and orders and products are copied."""
    with opened(tmp_path_factory.mktemp("halfway")) as found:
        found.move_out("users")
        for capability in ("orders", "products"):
            found.stack.run("start", capability)
        yield found


@pytest.mark.soak
def test_orders_may_move_before_products_and_both_may_come_back(market: Market) -> None:
    for orders, products in ((SERVICE, MONOLITH), (SERVICE, SERVICE), (MONOLITH, SERVICE), (MONOLITH, MONOLITH)):
        traffic = market.checkouts()

        with market.watched(traffic.testimony) as found, traffic:
            market.give({"orders": orders, "products": products})
            traffic.get_through()

        check(traffic.testimony, found)
        assert not traffic.testimony.outages, f"a move has cost answers: {dict(traffic.testimony.outages)}"


@pytest.mark.soak
@pytest.mark.parametrize(("orders", "products"), [(SERVICE, MONOLITH), (MONOLITH, SERVICE)])
def test_what_is_on_different_sides_may_be_killed(market: Market, orders: str, products: str) -> None:
    market.give({"orders": orders, "products": products})
    traffic = market.checkouts()

    with market.watched(traffic.testimony) as found, traffic:
        for process in ("monolith-relay", "monolith-worker", "monolith", "broker", "postgres-monolith"):
            market.kill(process)
            traffic.get_through()
        service = "orders" if orders == SERVICE else "products"
        for process in (f"{service}-relay", f"{service}-worker", service, f"postgres-{service}"):
            market.kill(process)
            traffic.get_through()

    check(traffic.testimony, found)
