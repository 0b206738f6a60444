"""Where the stock is: the port through which orders speak to products, and its two adapters.

Which of them serves is asked when a request begins. A checkout that has begun with the shelves here and finds them
fenced is rolled back, and run again with those elsewhere (see chassis.ownership.fence).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from chassis.ownership import owners
from products import selectors as catalogue
from products import services as products
from products.models import Reservation

from orders import commands, provider, sagas, selectors, services
from orders.models import Order, Payment
from orders.sagas import Payer
from orders.services import Offer


class UnknownProductsError(Exception):
    """Some of the products cannot be ordered; ``product_ids`` names them."""

    def __init__(self, product_ids: Sequence[int]) -> None:
        super().__init__(f"unknown products {product_ids}")
        self.product_ids = product_ids


class Shelves(Protocol):
    """What a checkout needs of products."""

    def offers(self, product_ids: Collection[int]) -> Mapping[int, Offer]:
        """Names and prices of the day. Raises UnknownProductsError."""

    def settle(self, order: Order, payer: Payer) -> None:
        """In the caller's transaction: decides a pending order, or begins what will decide it."""

    def release(self, order: Order) -> None:
        """The order's stock goes back, with the caller's transaction or soon after it."""


class Catalogue:
    """Offers are read from the table here, which is a copy where products are owned elsewhere."""

    def offers(self, product_ids: Collection[int]) -> Mapping[int, Offer]:
        """See Shelves."""
        sold = catalogue.sellable(ids=product_ids)
        if missing := set(product_ids) - sold.keys():
            raise UnknownProductsError(sorted(missing))
        return {pk: Offer(product.name, product.price) for pk, product in sold.items()}


class LocalShelves(Catalogue):
    """Products are owned here: stock, money and order change in one transaction."""

    def settle(self, order: Order, payer: Payer) -> None:
        """Money and stock together decide what becomes of the order."""
        reference = selectors.reference(order=order)
        answer = provider.authorize(amount=order.total, token=payer.token, reference=reference)
        state = services.pay(order_id=order.pk, answer=answer)
        is_declined = state == Payment.State.DECLINED
        services.conclude(
            order_id=order.pk,
            refusal=sagas.declined(answer.reason) if is_declined else _reserve(order, reference),
            payment=state,
            saved_token=payer.token if payer.is_saved else "",
        )

    def release(self, order: Order) -> None:
        """See Shelves."""
        products.release(**commands.release(order=order).data)


class RemoteShelves(Catalogue):
    """Products are owned elsewhere: they are sent commands, and answer when they have done it."""

    def settle(self, order: Order, payer: Payer) -> None:
        """See Shelves."""
        sagas.begin(order=order, payer=payer)

    def release(self, order: Order) -> None:
        """See Shelves."""
        commands.send(commands.release(order=order))


def present() -> Shelves:
    """Those of whoever owns products now."""
    return LocalShelves() if owners.is_open("products") else RemoteShelves()


def _reserve(order: Order, reference: str) -> str | None:
    """Why the order's stock was refused, None when it was not."""
    reservation = products.reserve(key=commands.key_of(order), reference=reference, lines=commands.lines(order=order))
    return None if reservation.state == Reservation.State.RESERVED else reservation.reason
