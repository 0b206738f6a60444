"""What the shop's staff does with products."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from threading import Lock
from typing import Any

from strangler.domain.traffic import Behaviour, Operation, Unexpected, Write, insert, update

from tests.scenario.account import HOUSEHOLD_PASSWORD, Account

STAFF_EMAIL = "staff@example.com"
PALLET = 100_000  # more than any delivery of `Upkeep`, of which no two may be of the same size


class Upkeep:
    """One member of staff who looks after products of their own."""

    def __init__(self, run: str, number: int, rng: Random) -> None:
        self._account = Account(f"{run}-{number}", rng, email=STAFF_EMAIL, password=HOUSEHOLD_PASSWORD)
        self._rng = rng
        self._product: dict[str, Any] = {}
        self._deliveries = 0

    def log_in(self) -> Behaviour:
        yield from self._account.log_in()

    def list_product(self) -> Behaviour:
        """A new product on the shelves."""
        name = self._account.unique("Product")
        body = {"name": name, "price": self._price(), "brand": "Own", "stock": 10}
        values = {"price": body["price"], "brand": "Own"}
        answer = yield Operation(
            "POST",
            "/api/v1/products",
            body=body,
            headers=self._account.headers,
            expected={201},
            writes=(insert("products", "products_product", {"name": name}, values),),
            told=lambda answer: [update("products", "products_product", {"name": name}, {"id": answer.json()["id"]})],
        )
        self._product, self._deliveries = answer.json(), 10

    def change_price(self) -> Behaviour:
        price = self._price()
        answer = yield Operation(
            "PATCH",
            self._path,
            body={"price": price},
            headers=self._account.headers,
            writes=(update("products", "products_product", {"name": self._product["name"]}, {"price": price}),),
        )
        if answer.json()["price"] != price:
            raise Unexpected("another price than was sent")

    def take_delivery(self) -> Behaviour:
        """So many more on the shelf; no two deliveries of a product are of the same size."""
        self._deliveries += 1
        answer = yield Operation(
            "POST",
            f"{self._path}/stock",
            body={"delta": self._deliveries},
            headers=self._account.headers,
            writes=(self._movement(self._deliveries),),
        )
        self._product = answer.json()

    @property
    def _path(self) -> str:
        return f"/api/v1/products/{self._product['id']}"

    def _movement(self, delta: int) -> Write:
        row = {"product_id": self._product["id"], "delta": delta}
        return insert("products", "products_stockmovement", row, {"reason": "delivery"})

    def _price(self) -> str:
        return f"{self._rng.randint(1, 99)}.{self._rng.randint(0, 99):02}"


class Restocking:
    """Staff who fill the shelves that customers find empty, one customer at a time: a stack on which many rehearsals
    were played has sold its sample, and its customers would look for something to buy without an end."""

    def __init__(self) -> None:
        self._at_work = Lock()

    def fill(self, finder: Account, products: Sequence[Mapping[str, Any]]) -> Behaviour:
        """Nothing where another customer's finding is being seen to."""
        if not self._at_work.acquire(blocking=False):
            return
        try:
            clerk = Account(f"{finder.token}-clerk", finder.rng, email=STAFF_EMAIL, password=HOUSEHOLD_PASSWORD)
            yield from clerk.log_in()
            for product in products:
                path = f"/api/v1/products/{product['id']}/stock"
                yield Operation("POST", path, body={"delta": PALLET}, headers=clerk.headers)
        finally:
            self._at_work.release()
