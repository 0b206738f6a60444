"""The shop's traffic: customers who browse, register, order, change their minds and leave."""

from __future__ import annotations

from random import Random

from strangler.domain.traffic import Behaviour

from tests.scenario.account import Account
from tests.scenario.purchases import Purchases
from tests.scenario.upkeep import Restocking, Upkeep

HOUSEHOLDS = 2400  # the data set's first ids, less a few gaps
WEIGHTS = {
    "browse": 14,
    "search": 7,
    "look_at_product": 8,
    "list_categories": 2,
    "look_at_profile": 10,
    "rename": 14,
    "add_address": 12,
    "list_addresses": 6,
    "order": 9,
    "order_again": 3,
    "list_orders": 4,
    "look_at_order": 5,
    "cancel_order": 1,
    "refresh": 4,
    "log_in": 1,
    "mistype_password": 1,
    "register_again": 1,
}


class Customers:
    """Every third client is a household of the data set, the others register; every fifth leaves."""

    def __init__(self, run: str) -> None:
        self._run = run
        self._staff = Restocking()

    def client(self, number: int, rng: Random) -> Behaviour:
        account = Account.new(self._run, number, rng)
        if number % 3 == 0:
            household = Account.of_household(1 + number % HOUSEHOLDS, self._run, number, rng)
            # A sample holds few households, and the data set has gaps: a refusal is no fault here.
            yield from household.log_in(expected=frozenset({200, 401}))
            account = household if household.access else account
        is_new = not account.access
        purchases = Purchases(account, self._staff)
        if is_new:
            yield from account.register()
            yield from account.log_in()
            yield from purchases.order()
        yield from self._shop(account, purchases, rng)
        if is_new and number % 5 == 0:
            yield from account.leave(purchases.forgotten())
            yield from account.find_door_shut()

    def writer(self, capability: str, number: int, rng: Random) -> Behaviour:
        if capability == "products":
            yield from _keep_up(Upkeep(self._run, number, rng))
        account = Account.new(self._run, number, rng)
        purchases = Purchases(account, self._staff)
        yield from account.register()
        yield from account.log_in()
        while True:
            if capability == "users":
                yield from account.rename()
                yield from account.add_address()
            else:
                yield from purchases.order()

    def _shop(self, account: Account, purchases: Purchases, rng: Random) -> Behaviour:
        names = list(WEIGHTS)
        for name in rng.choices(names, list(WEIGHTS.values()), k=rng.randint(30, 90)):
            yield from getattr(purchases if hasattr(purchases, name) else account, name)()


def _keep_up(upkeep: Upkeep) -> Behaviour:
    yield from upkeep.log_in()
    while True:
        yield from upkeep.list_product()
        for _ in range(10):
            yield from upkeep.change_price()
            yield from upkeep.take_delivery()
