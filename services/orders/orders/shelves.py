"""Where the stock is: the port through which orders speak to products.

For this service, products are always elsewhere. The monolith has a second adapter, for the time in which it owns them.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal

from chassis.calls.client import CallError, Client
from django.conf import settings

from orders import commands, sagas
from orders.models import Order
from orders.sagas import Payer
from orders.services import Offer

logger = logging.getLogger(__name__)
_products = Client("products", settings.INTERNAL_URL, caller="orders", timeout=1.0, within=2.0, attempts=2)


class UnknownProductsError(Exception):
    """Some of the products cannot be ordered; ``product_ids`` names them."""

    def __init__(self, product_ids: Sequence[int]) -> None:
        super().__init__(f"unknown products {product_ids}")
        self.product_ids = product_ids


class RemoteShelves:
    """Products have a database of their own: commands go to them, and they answer when they have done what was
    asked."""

    def offers(self, product_ids: Collection[int]) -> Mapping[int, Offer]:
        """Names and prices of the day; without them when products do not answer. Raises UnknownProductsError."""
        try:
            rows = _client().get("/internal/products", params={"ids": ",".join(map(str, sorted(product_ids)))}).json()
        except CallError as error:
            logger.warning("products_do_not_answer", extra={"reason": error.reason})
            return dict.fromkeys(product_ids, Offer())
        found = {row["id"]: Offer(row["name"], Decimal(row["price"])) for row in rows if row["is_active"]}
        if missing := set(product_ids) - found.keys():
            raise UnknownProductsError(sorted(missing))
        return found

    def settle(self, order: Order, payer: Payer) -> None:
        """Begins the saga that will decide the order, in the caller's transaction."""
        sagas.begin(order=order, payer=payer)

    def release(self, order: Order) -> None:
        """Gives the order's stock back, soon after the caller's transaction."""
        commands.send(commands.release(order=order))


def present() -> RemoteShelves:
    return RemoteShelves()


def _client() -> Client:
    return _products
