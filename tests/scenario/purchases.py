"""What a customer does with products and orders."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from strangler.domain.traffic import Answer, Behaviour, Operation, Unexpected, Write, insert, update

from tests.scenario.account import Account
from tests.scenario.upkeep import Restocking

WORDS = ("milk", "bread", "soup", "tea", "frozen", "apple", "cheese", "soap")
SETTLED = ("confirmed", "rejected")


class Purchases:
    """The customer's way through the shop: products seen, orders placed."""

    def __init__(self, account: Account, staff: Restocking) -> None:
        self._account = account
        self._staff = staff
        self._rng = account.rng
        self._page: list[dict[str, Any]] = []
        self._seen: list[dict[str, Any]] = []  # in stock
        self._orders: list[tuple[str, dict[str, Any]]] = []  # not cancelled, each with its key
        self._keys: list[str] = []
        self._last: Operation | None = None

    def browse(self) -> Behaviour:
        order = self._rng.choice(("name", "-name", "price", "-price"))
        answer = yield Operation("GET", f"/api/v1/products?page_size=20&ordering={order}")
        self._remember(answer)

    def search(self) -> Behaviour:
        answer = yield Operation("GET", f"/api/v1/products?page_size=20&search={self._rng.choice(WORDS)}")
        self._remember(answer)

    def look_at_product(self) -> Behaviour:
        if not self._page:
            yield from self.browse()
        product = self._rng.choice(self._page)
        answer = yield Operation("GET", f"/api/v1/products/{product['id']}")
        if answer.json()["name"] != product["name"]:
            raise Unexpected("another product")

    def list_categories(self) -> Behaviour:
        yield Operation("GET", "/api/v1/categories?page_size=50")

    def order(self) -> Behaviour:
        """A checkout; now and then with a card that is declined."""
        while not self._seen:
            yield from self.browse()
            if not self._seen:
                yield from self._staff.fill(self._account, self._page)
        products = self._rng.sample(self._seen, min(len(self._seen), self._rng.randint(1, 3)))
        lines = [{"product_id": product["id"], "quantity": self._rng.randint(1, 2)} for product in products]
        body: dict[str, Any] = {"lines": lines}
        if self._rng.random() < 0.05:
            body["payment_token"] = "tok_declined"
        key = self._account.unique("order")
        values = {"user_id": self._account.id} if self._account.id else {}
        self._last = Operation(
            "POST",
            "/api/v1/orders",
            body=body,
            headers={**self._account.headers, "Idempotency-Key": key},
            expected={201},
            writes=(insert("orders", "orders_order", {"idempotency_key": key}, values),),
            told=lambda answer: _told(key, lines, answer),
        )
        answer = yield self._last
        order = answer.json()
        if Decimal(order["total"]) != sum(Decimal(line["unit_price"]) * line["quantity"] for line in order["lines"]):
            raise Unexpected("a total that is not the sum of the lines")
        self._orders.append((key, order))
        self._keys.append(key)

    def order_again(self) -> Behaviour:
        """The last request once more, key and all: the same order, and none besides."""
        if self._last is None:
            return
        answer = yield Operation(
            "POST", "/api/v1/orders", body=self._last.body, headers=self._last.headers, expected={201}
        )
        if answer.json()["id"] != self._orders[-1][1]["id"]:
            raise Unexpected("a second order for the same key")

    def list_orders(self) -> Behaviour:
        answer = yield Operation("GET", "/api/v1/orders?page_size=20", headers=self._account.headers)
        held = {order["id"] for order in answer.json()["results"]}
        if not held.issuperset(order["id"] for _, order in self._orders[-5:]):
            raise Unexpected("an order is missing from the list")

    def look_at_order(self) -> Behaviour:
        if not self._orders:
            return
        _, order = self._rng.choice(self._orders)
        answer = yield Operation("GET", f"/api/v1/orders/{order['id']}", headers=self._account.headers)
        # Until it is decided an order has the prices of the catalogue, not those of the sale.
        if order["status"] in SETTLED and answer.json()["total"] != order["total"]:
            raise Unexpected("another total than before")

    def cancel_order(self) -> Behaviour:
        if not self._orders:
            return
        key, order = self._orders.pop()
        self._last = None
        if order["status"] != "confirmed":
            return
        row = {"idempotency_key": key}
        yield Operation(
            "POST",
            f"/api/v1/orders/{order['id']}/cancel",
            headers=self._account.headers,
            writes=(update("orders", "orders_order", row, {"status": "cancelled"}),),
        )

    def forgotten(self) -> tuple[Write, ...]:
        """What becomes of the orders when their customer's account is deleted: the books keep them."""
        return tuple(
            update("orders", "orders_order", {"idempotency_key": key}, {"user_id": None}) for key in self._keys
        )

    def _remember(self, answer: Answer) -> None:
        self._page = answer.json()["results"] or self._page
        found = [product for product in self._page if product["stock"] > 0]
        self._seen = found or self._seen


def _told(key: str, lines: list[dict[str, int]], answer: Answer) -> list[Write]:
    """The whole checkout, row by row: half of one would be found."""
    order = answer.json()
    of_order = {"order_id": order["id"]}
    known = {"id": order["id"]} | ({"total": order["total"]} if order["status"] in SETTLED else {})
    writes = [
        update("orders", "orders_order", {"idempotency_key": key}, known),
        insert("orders", "orders_statuschange", {**of_order, "status": "pending"}, {}),
    ]
    for line in lines:
        row = {**of_order, "product_id": line["product_id"]}
        writes.append(insert("orders", "orders_line", row, {"quantity": line["quantity"]}))
    if order["status"] in SETTLED:
        writes.append(insert("orders", "orders_statuschange", {**of_order, "status": order["status"]}, {}))
    if order["status"] == "confirmed":
        writes += [_sale(order["id"], line) for line in lines]
    return writes


def _sale(order: int, line: dict[str, int]) -> Write:
    row = {"reference": f"order {order}", "product_id": line["product_id"], "reason": "sale"}
    return insert("products", "products_stockmovement", row, {"delta": -line["quantity"]})
