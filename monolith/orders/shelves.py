"""Where the stock is: the port through which orders speak to products, and its two adapters.

Each request asks at its beginning which of them serves. A checkout that began with the shelves here, and finds them
fenced, is rolled back and run again with the shelves elsewhere (see chassis.ownership.fence).
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
        """Decides a pending order, or begins the saga that will decide it, in the caller's transaction."""

    def release(self, order: Order) -> None:
        """Gives the order's stock back, with the caller's transaction or soon after it."""


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
    """Products are owned elsewhere: commands go to them, and they answer when they have done what was asked."""

    def settle(self, order: Order, payer: Payer) -> None:
        """See Shelves."""
        sagas.begin(order=order, payer=payer)

    def release(self, order: Order) -> None:
        """See Shelves."""
        commands.send(commands.release(order=order))


def present() -> Shelves:
    """The shelves of the side that owns products now."""
    return LocalShelves() if owners.is_open("products") else RemoteShelves()


def _reserve(order: Order, reference: str) -> str | None:
    """Reserves the order's stock; the reason where it was refused, otherwise None."""
    reservation = products.reserve(key=commands.key_of(order), reference=reference, lines=commands.lines(order=order))
    return None if reservation.state == Reservation.State.RESERVED else reservation.reason
