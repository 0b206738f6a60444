"""What the shop's databases hold of the checkouts, as plain rows."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import psycopg
from psycopg.rows import dict_row

NEVER = datetime.min.replace(tzinfo=UTC)
Session = psycopg.Connection[Any]

ORDERS = """
SELECT id, idempotency_key AS key, user_id, status, total, reservation, version,
  (SELECT coalesce(jsonb_agg(jsonb_build_array(product_id, quantity, unit_price) ORDER BY id), '[]')
   FROM orders_line WHERE order_id = o.id) AS lines,
  (SELECT coalesce(jsonb_agg(jsonb_build_array(state, amount) ORDER BY id), '[]')
   FROM orders_payment WHERE order_id = o.id) AS payments,
  (SELECT coalesce(jsonb_agg(status ORDER BY id), '[]') FROM orders_statuschange WHERE order_id = o.id) AS history
FROM orders_order o WHERE idempotency_key LIKE 'fault-%%' AND created_at >= %s ORDER BY id
"""
RESERVATIONS = "SELECT key, state, lines FROM products_reservation WHERE created_at >= %s ORDER BY key"
MOVEMENTS = """
SELECT product_id, delta, reason, reference FROM products_stockmovement WHERE product_id = ANY(%s) ORDER BY id
"""
STOCK = "SELECT id, stock FROM products_product WHERE id = ANY(%s)"
CONSTRAINT = """
SELECT EXISTS (SELECT FROM pg_constraint WHERE conname = 'products_stock_not_negative' AND convalidated)
"""
HANDLED = """
SELECT message_id::text AS id, type, subject, handled_at AS at FROM {capability}_inbox
WHERE handled_at >= %s ORDER BY handled_at
"""
TOLD = "SELECT body FROM chassis_published WHERE created_at >= %s ORDER BY id"
FORGOTTEN = "SELECT user_id FROM orders_forgottencustomer"
NOW = "SELECT clock_timestamp()"


@dataclass(frozen=True)
class Line:
    product_id: int
    quantity: int
    unit_price: Decimal


@dataclass(frozen=True)
class Payment:
    state: str
    amount: Decimal


@dataclass(frozen=True)
class Order:
    id: int
    key: str
    status: str
    total: Decimal
    user_id: int | None = 1
    reservation: str = ""
    version: int = 1
    lines: Sequence[Line] = ()
    payments: Sequence[Payment] = ()
    history: Sequence[str] = ()


@dataclass(frozen=True)
class Reservation:
    key: str
    state: str
    quantities: Mapping[int, int]


@dataclass(frozen=True)
class Movement:
    product_id: int
    delta: int
    reason: str
    reference: str = ""


@dataclass(frozen=True)
class Handled:
    """A row of an inbox."""

    id: str
    type: str
    subject: str
    at: datetime


@dataclass(frozen=True)
class Event:
    """One that was told, or heard."""

    id: str
    type: str
    subject: str
    version: int

    @classmethod
    def decode(cls, body: bytes) -> Event:
        event = json.loads(body)
        return cls(event["id"], event["type"], event["subject"], event["aggregateversion"])


@dataclass
class Books:
    """``heard`` is in the order of arrival, doubles and all; ``lowest`` the least stock ever seen.

    Rows that are older than ``since`` are not among them.
    """

    orders: Sequence[Order] = ()
    reservations: Sequence[Reservation] = ()
    movements: Sequence[Movement] = ()
    stock: Mapping[int, int] = field(default_factory=dict)
    lowest: Mapping[int, int] = field(default_factory=dict)
    is_constrained: bool = True
    handled: Mapping[str, Sequence[Handled]] = field(default_factory=dict)
    told: Sequence[Event] = ()
    heard: Sequence[Event] = ()
    forgotten: Collection[int] = ()
    dead: Sequence[str] = ()
    since: datetime = NEVER


def read(
    owners: Mapping[str, Session], everywhere: Sequence[Session], shelf: Collection[int], since: datetime
) -> Books:
    """The rows of the run: ``owners`` has the database of orders and of products, ``everywhere`` all there are."""
    orders, products = owners["orders"], owners["products"]
    return Books(
        orders=[_order(row) for row in _rows(orders, ORDERS, since)],
        reservations=[_reservation(row) for row in _rows(products, RESERVATIONS, since)],
        movements=[Movement(**row) for row in _rows(products, MOVEMENTS, list(shelf))],
        stock={row["id"]: row["stock"] for row in _rows(products, STOCK, list(shelf))},
        is_constrained=all(_rows(products, CONSTRAINT)[0].values()),
        handled={
            capability: [Handled(**row) for row in _rows(session, HANDLED.format(capability=capability), since)]
            for capability, session in owners.items()
        },
        told=[Event.decode(row["body"]) for session in everywhere for row in _rows(session, TOLD, since)],
        forgotten={row["user_id"] for row in _rows(orders, FORGOTTEN)},
        since=since,
    )


def now(session: Session) -> datetime:
    """By the clock that the rows are stamped with."""
    found: datetime = _rows(session, NOW)[0]["clock_timestamp"]
    return found


def _order(row: dict[str, Any]) -> Order:
    lines = [Line(pk, quantity, Decimal(str(price))) for pk, quantity, price in row.pop("lines")]
    payments = [Payment(state, Decimal(str(amount))) for state, amount in row.pop("payments")]
    return Order(**row, lines=lines, payments=payments)


def _reservation(row: dict[str, Any]) -> Reservation:
    quantities: dict[int, int] = {}
    for line in row["lines"]:
        quantities[line["product_id"]] = quantities.get(line["product_id"], 0) + line["quantity"]
    return Reservation(row["key"], row["state"], quantities)


def _rows(session: Session, query: str, *values: object) -> list[dict[str, Any]]:
    return session.cursor(row_factory=dict_row).execute(query.encode(), values or None).fetchall()
