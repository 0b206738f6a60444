"""Customers who check out all the time, and remember what they asked for and what they were told."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any
from uuid import uuid4

import httpx

from tests.contract.goods import Shelf
from tests.contract.people import PASSWORD, Account, fresh_email, sign_up
from tests.faults.traffic import Traffic
from tests.waiting import eventually

THINK_SECONDS = 0.02
REPEAT_SECONDS = 0.1
RESTOCK_SECONDS = 0.5
# A customer without an answer after so long, with all repetitions, counts as lost.
PATIENCE_SECONDS = 180.0
GET_THROUGH_SECONDS = 120.0
DECLINED = "tok_declined"
ORDERS = "/api/v1/orders"


@dataclass
class Purchase:
    """One wish, by its Idempotency-Key, with every answer it got."""

    key: str
    user_id: int
    quantities: Mapping[int, int]
    declined: bool = False
    answers: list[dict[str, Any]] = field(default_factory=list)
    cancelled: bool = False  # and that was acknowledged


@dataclass
class Testimony:
    """What all customers asked for and were told; ``outages`` counts repeated requests, which are no failures."""

    shelf: dict[int, int] = field(default_factory=dict)  # what there was of each product at first
    purchases: dict[str, Purchase] = field(default_factory=dict)
    deliveries: dict[int, int] = field(default_factory=dict)  # acknowledged, by product
    left: set[int] = field(default_factory=set)  # users whose accounts are gone
    outages: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


class Checkouts(Traffic):
    """``with Checkouts(…) as traffic``: some buy, one restocks scarce products, one leaves the shop again and again.

    The block's end waits until the shop gets through once more, and until everybody has been answered.
    """

    def __init__(self, connect: Callable[[], httpx.Client], staff: Account, *, buyers: int = 4, seed: int = 1) -> None:
        super().__init__()
        self.testimony = Testimony()
        self._connect = connect
        self._staff = staff
        self._seed = seed
        self._confirmed: list[float] = []  # the beginning of each order that was confirmed in its answer
        with connect() as client:
            shelf = Shelf(client, staff)
            plenty = [shelf.add(stock=100_000) for _ in range(3)]
            scarce = [shelf.add(stock=12) for _ in range(2)]
            accounts = [sign_up(client, fresh_email()) for _ in range(buyers)]
        self.testimony.shelf = {each["id"]: each["stock"] for each in [*plenty, *scarce]}
        self.testimony.deliveries = {each["id"]: 0 for each in scarce}
        works = [(self._buy, account) for account in accounts] + [(self._restock, staff), (self._leave, None)]
        self._threads = [
            threading.Thread(target=self._work, args=(work, account, number))
            for number, (work, account) in enumerate(works)
        ]
        self._buyers = buyers

    def get_through(self) -> None:
        """Waits until some orders that were begun after this call have been confirmed in their answers."""
        began = time.monotonic()
        eventually(
            lambda: sum(each > began for each in list(self._confirmed)) >= 2 * self._buyers,
            "checkouts get through",
            within=GET_THROUGH_SECONDS,
        )

    def _work(self, work: Callable[[Customer], None], account: Account | None, number: int) -> None:
        with self._connect() as client:
            customer = Customer(client, account, self.testimony, Random(f"{self._seed}/{number}"), self._over)
            while not self._over.is_set():
                try:
                    work(customer)
                except Exception as error:  # noqa: BLE001  a thread that dies would be missed by nobody
                    self.testimony.failures.append(f"{work.__name__}: {type(error).__name__} {error}")

    def _buy(self, customer: Customer) -> None:
        began = time.monotonic()
        purchase = customer.wish()
        order = customer.place(purchase)
        if order and order["status"] == "confirmed":
            self._confirmed.append(began)
        if customer.rng.random() < 0.15:
            order = customer.place(purchase)
        if order and order["status"] == "confirmed" and customer.rng.random() < 0.2:
            customer.cancel(purchase, order)
        self._over.wait(THINK_SECONDS)

    def _restock(self, customer: Customer) -> None:
        """A few more of what is scarce, never enough."""
        product = customer.rng.choice(list(self.testimony.deliveries))
        delta = customer.rng.randint(1, 4)
        headers = {**self._staff.headers, "Idempotency-Key": uuid4().hex}
        path = f"/api/v1/products/{product}/stock"
        if customer.insist("POST", path, {200}, json={"delta": delta}, headers=headers):
            self.testimony.deliveries[product] += delta
        self._over.wait(RESTOCK_SECONDS)

    def _leave(self, customer: Customer) -> None:
        """Registers, buys and deletes the account."""
        if customer.register():
            purchase = customer.wish()
            if customer.place(purchase):
                customer.leave()
        self._over.wait(RESTOCK_SECONDS)


class Customer:
    """One thread's way to the shop; asks again, with the same key, until there is an answer."""

    def __init__(
        self, client: httpx.Client, account: Account | None, testimony: Testimony, rng: Random, over: threading.Event
    ) -> None:
        self.rng = rng
        self._client = client
        self._account = account
        self._testimony = testimony
        self._over = over

    def wish(self) -> Purchase:
        """One to three products; now and then with a card that is declined."""
        assert self._account is not None
        products = self.rng.sample(sorted(self._testimony.shelf), self.rng.randint(1, 3))
        purchase = Purchase(
            key=f"fault-{uuid4().hex}",
            user_id=self._account.id,
            quantities={product: self.rng.randint(1, 3) for product in products},
            declined=self.rng.random() < 0.1,
        )
        self._testimony.purchases[purchase.key] = purchase
        return purchase

    def place(self, purchase: Purchase) -> dict[str, Any] | None:
        """The order as it is answered, which is noted."""
        lines = [{"product_id": pk, "quantity": quantity} for pk, quantity in purchase.quantities.items()]
        body = {"lines": lines} | ({"payment_token": DECLINED} if purchase.declined else {})
        headers = {**self._headers, "Idempotency-Key": purchase.key, "Prefer": "wait=3"}
        order = self.insist("POST", ORDERS, {201}, json=body, headers=headers)
        if order:
            purchase.answers.append(order)
        return order

    def cancel(self, purchase: Purchase, order: Mapping[str, Any]) -> None:
        """A repeated cancellation is no error, so it can be sent until there is an answer."""
        path = f"{ORDERS}/{order['id']}/cancel"
        if self.insist("POST", path, {200}, headers=self._headers):
            purchase.cancelled = True

    def register(self) -> bool:
        """Registers under a new address each time, for a customer without an answer may have been registered."""
        email = fresh_email()
        registration = {"email": email, "password": PASSWORD, "full_name": "Ada Example"}
        user = self.insist("POST", "/api/v1/users", {201, 400}, json=registration)
        credentials = {"email": email, "password": PASSWORD}
        pair = user and self.insist("POST", "/api/v1/auth/token", {200}, json=credentials)
        if not user or not pair or "id" not in user:
            return False
        self._account = Account(id=user["id"], email=email, **pair)
        return True

    def leave(self) -> None:
        """Deletes the account; asked again it may be gone already."""
        assert self._account is not None
        if self.insist("DELETE", "/api/v1/users/me", {204, 401}, headers=self._headers) is not None:
            self._testimony.left.add(self._account.id)

    def insist(self, method: str, path: str, expected: Collection[int], **parts: Any) -> dict[str, Any] | None:
        """The body of the expected answer, empty where it has none; None when it was another, or never came."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            try:
                answer = self._client.request(method, path, **parts)
            except httpx.HTTPError as error:
                self._testimony.outages[f"{method} {path}: {type(error).__name__}"] += 1
            else:
                if answer.status_code in expected:
                    return answer.json() if answer.content else {}
                if answer.status_code < 500:
                    self._fail(f"{method} {path}: {answer.status_code} {answer.text[:200]}")
                    return None
                self._testimony.outages[f"{method} {path}: {answer.status_code}"] += 1
            time.sleep(REPEAT_SECONDS)
        self._fail(f"{method} {path}: not answered within {PATIENCE_SECONDS:.0f} s")
        return None

    @property
    def _headers(self) -> Mapping[str, str]:
        assert self._account is not None
        return self._account.headers

    def _fail(self, what: str) -> None:
        self._testimony.failures.append(what)
