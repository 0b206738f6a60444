"""The products service in memory: it does what its contract says of reservations, and no more."""

from __future__ import annotations

from collections import Counter
from typing import Any

from chassis.messages import events
from chassis.messages.events import Message
from django.db import transaction

from orders.tests.neighbours import Neighbours


class Warehouse:
    """``stock`` is by product; while ``deaf`` is true it answers nothing."""

    def __init__(self, neighbours: Neighbours) -> None:
        self._neighbours = neighbours
        self.stock: Counter[int] = Counter()
        self.reservations: dict[str, list[dict[str, Any]] | None] = {}  # None: released
        self.received: list[Message] = []

    def add(self, pk: int, *, name: str = "Whole Milk", price: str = "2.50", stock: int = 10) -> int:
        offer = {"id": pk, "name": name, "price": price, "currency": "USD", "is_active": True}
        self._neighbours.products[pk] = offer
        self.stock[pk] = stock
        return pk

    def handle(self, message: Message) -> None:
        self.received.append(message)
        if message.type == "products.reserve":
            type, data = self._reserve(message)
            with transaction.atomic():
                events.reply(to_message=message, type=type, data=data, capability="products")
        elif message.type == "products.release":
            self._release(message)

    def _reserve(self, message: Message) -> tuple[str, dict[str, Any]]:
        key, lines = message.data["key"], message.data["lines"]
        if key not in self.reservations:
            unknown = [line["product_id"] for line in lines if line["product_id"] not in self._neighbours.products]
            short = [line["product_id"] for line in lines if self.stock[line["product_id"]] < line["quantity"]]
            if unknown or short:
                reason = "unknown product" if unknown else "not enough stock"
                return "products.refused", {"key": key, "reason": reason, "product_ids": unknown or short}
            self.reservations[key] = [self._take(line) for line in lines]
        taken = self.reservations[key]
        if taken is None:
            return "products.refused", {"key": key, "reason": "released", "product_ids": []}
        return "products.reserved", {"key": key, "lines": taken}

    def _take(self, line: dict[str, int]) -> dict[str, Any]:
        offer = self._neighbours.products[line["product_id"]]
        self.stock[line["product_id"]] -= line["quantity"]
        return {**line, "name": offer["name"], "unit_price": offer["price"], "currency": offer["currency"]}

    def _release(self, message: Message) -> None:
        key = message.data["key"]
        taken = self.reservations.get(key, message.data["lines"] if key not in self.reservations else None)
        for line in taken or []:
            self.stock[line["product_id"]] += line["quantity"]
        self.reservations[key] = None
