from __future__ import annotations

import json
from random import Random
from typing import Any

from strangler.domain.traffic import Answer, Operation

from tests.scenario.account import Account
from tests.scenario.purchases import Purchases
from tests.scenario.upkeep import Restocking

PAGE = 20
MOST_REQUESTS = 100  # far more than one order takes


class Shop:
    """Answers as the shop does where the shelves are empty until somebody fills them."""

    def __init__(self) -> None:
        self.stock = dict.fromkeys(range(1, PAGE + 1), 0)
        self.asked: list[str] = []

    def answer(self, operation: Operation) -> Answer:
        self.asked.append(f"{operation.method} {operation.path.partition('?')[0]}")
        if operation.path.endswith("/token"):
            return _told(200, {"access": "a", "refresh": "r"})
        if operation.path.endswith("/stock"):
            number = int(operation.path.split("/")[-2])
            self.stock[number] += operation.body["delta"]
            return _told(200, {"id": number, "stock": self.stock[number]})
        if operation.method == "GET":
            return _told(200, {"results": [{"id": each, "stock": stock} for each, stock in self.stock.items()]})
        return _told(201, {"id": 1, "status": "confirmed", "total": "0.00", "lines": []})


def _told(status: int, content: Any) -> Answer:
    return Answer(status, {}, json.dumps(content).encode())


def test_a_customer_who_finds_all_shelves_empty_has_them_filled_and_orders() -> None:
    shop = Shop()
    order = Purchases(Account.new("run", 1, Random(1)), Restocking()).order()

    operation: Operation | None = next(order)
    while operation is not None and len(shop.asked) < MOST_REQUESTS:
        answer = shop.answer(operation)
        assert answer.status in operation.expected
        try:
            operation = order.send(answer)
        except StopIteration:
            operation = None

    assert shop.asked[-1] == "POST /api/v1/orders"
    assert all(stock > 0 for stock in shop.stock.values())


def test_while_the_shelves_are_filled_for_one_customer_nobody_else_sends_for_staff() -> None:
    staff, products = Restocking(), [{"id": 1}]
    first, second = (staff.fill(Account.new("run", number, Random(1)), products) for number in (1, 2))
    next(first)

    assert list(second) == []
    first.close()
    assert next(staff.fill(Account.new("run", 3, Random(1)), products)).path == "/api/v1/auth/token"
