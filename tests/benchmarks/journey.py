"""The stations of a checkout, by the times that its rows carry: all servers and clients read the same clock.

PostgreSQL notes a commit's time just before the flush, so the flush counts as part of the next stage. The means of the
stages of one load add up to the mean of its answers, for each stage begins where the one before it ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from tests.stack import Stack

PLACED = """
SELECT o.id, extract(epoch FROM o.created_at)::float8, extract(epoch FROM pg_xact_commit_timestamp(h.xmin))::float8
FROM orders_order o JOIN orders_statuschange h ON h.order_id = o.id AND h.status = 'pending'
WHERE o.id = ANY(%(ids)s)
"""
# A message's row in the inbox is the first thing that its handler's transaction writes.
ORDERS_HANDLED = """
SELECT o.id, o.reservation,
       extract(epoch FROM r.handled_at)::float8, extract(epoch FROM pg_xact_commit_timestamp(r.xmin))::float8
FROM orders_order o
JOIN orders_inbox r ON r.subject = o.reservation AND r.type = 'products.reserved'
WHERE o.id = ANY(%(ids)s)
"""
PRODUCTS_HANDLED = """
SELECT subject, extract(epoch FROM handled_at)::float8, extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8
FROM products_inbox WHERE type = 'products.reserve' AND subject = ANY(%(keys)s)
"""
# The last message that was published is the event that the order is confirmed; commands are not kept.
PUBLISHED = """
SELECT extract(epoch FROM e.published_at - pg_xact_commit_timestamp(h.xmin))::float8
FROM orders_statuschange h
JOIN chassis_published e ON e.key = h.order_id::text AND e.type = 'orders.order.confirmed'
WHERE h.status = 'confirmed' AND h.order_id = ANY(%(ids)s)
"""

IN_MONOLITH = (
    "gateway, token, address, offers",
    "order, payment and stock in one transaction",
    "flush, outcome seen, answer",
)
THROUGH_SERVICES = (
    "gateway, token; address and offers asked of services",
    "order and saga in one transaction",
    "products.reserve: flush, relay, broker, worker",
    "  handled by products",
    "products.reserved: flush, relay, broker, worker, provider",
    "  handled by orders, who confirm",
    "flush, outcome seen by the request that waits, answer",
)
BESIDE = "(beside: an event from commit to confirmed by the broker)"


@dataclass(frozen=True)
class Purchase:
    """An order, and the client's clock when it was sent and when it was answered."""

    order: int
    sent: float
    answered: float


@dataclass(frozen=True)
class Stage:
    """A part of the way, and how many milliseconds each purchase spent there."""

    name: str
    times: Sequence[float]


def in_monolith(stack: Stack, purchases: Sequence[Purchase]) -> Iterator[Stage]:
    """One transaction, and what is around it."""
    placed = {row[0]: row[1:] for row in _rows(stack, "monolith", PLACED, ids=[it.order for it in purchases])}
    return _stages(IN_MONOLITH, [(it.sent, *placed[it.order], it.answered) for it in purchases])


def through_services(stack: Stack, purchases: Sequence[Purchase]) -> Iterator[Stage]:
    """Three transactions, and two messages between them."""
    ids = [purchase.order for purchase in purchases]
    placed = {row[0]: row[1:] for row in _rows(stack, "orders", PLACED, ids=ids)}
    handled = {row[0]: row[1:] for row in _rows(stack, "orders", ORDERS_HANDLED, ids=ids)}
    keys = [row[0] for row in handled.values()]
    reserved = {row[0]: row[1:] for row in _rows(stack, "products", PRODUCTS_HANDLED, keys=keys)}
    stations = []
    for purchase in purchases:
        key, *later = handled[purchase.order]
        stations.append((purchase.sent, *placed[purchase.order], *reserved[key], *later, purchase.answered))
    yield from _stages(THROUGH_SERVICES, stations)
    yield Stage(BESIDE, [1000 * seconds for (seconds,) in _rows(stack, "orders", PUBLISHED, ids=ids)])


def _stages(names: Sequence[str], stations: Sequence[Sequence[float]]) -> Iterator[Stage]:
    legs = [[1000 * (end - begin) for begin, end in pairwise(times)] for times in stations]
    for name, times in zip(names, zip(*legs, strict=True), strict=True):
        yield Stage(name, times)


def _rows(stack: Stack, database: str, query: str, **parameters: Any) -> list[tuple[Any, ...]]:
    with stack.database(database) as session:
        return session.execute(query.encode(), parameters).fetchall()
