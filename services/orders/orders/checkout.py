"""From a customer's wishes to an order with an outcome.

Placing is one transaction. Waiting for the outcome follows outside of it, because other services decide meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from chassis.process import admission, waiting
from django.db import transaction

from orders import commands, customers, sagas, selectors, services, shelves
from orders.models import Order, Status
from orders.sagas import Payer


def place(
    *,
    user_id: int,
    key: str,
    digest: str,
    wishes: Sequence[services.Wish],
    payment_token: str = "",
    save_payment_method: bool = False,
) -> Order:
    """Places an order, which is then being decided; or returns the one that the key has placed before.

    Raises KeyReusedError, UnknownProductsError, ForgottenCustomerError.
    """
    if earlier := services.earlier(user_id=user_id, key=key, digest=digest):
        return earlier
    shelf = shelves.present()
    # This comes before the transaction begins: no call over the network is made inside it.
    address = customers.look_up_address(user_id=user_id)
    offers = shelf.offers({wish.product_id for wish in wishes})
    ship_to = address()
    with transaction.atomic():
        order, is_new = services.open_order(
            user_id=user_id,
            key=key,
            digest=digest,
            wishes=wishes,
            offers=offers,
            ship_to=ship_to,
            reservation=commands.reservation_key(user_id=user_id, key=key),
        )
        if is_new:
            token = payment_token or selectors.payment_token(user_id=user_id)
            shelf.settle(order, Payer(token, save_payment_method and bool(payment_token)))
    return order


@transaction.atomic
def cancel(*, order_id: int, note: str) -> Order:
    """Cancel an order, and give back its stock and its money; a second call is no error.

    Raises IllegalChangeError, and UndecidedError while its checkout has not ended.
    """
    order, is_new = services.take_back(order_id=order_id, note=note)
    if is_new:
        shelves.present().release(order)
    return order


@transaction.atomic
def expire(*, order_id: int) -> bool:
    """Cancel the order unless the money has come meanwhile; returns whether it was cancelled. Raises UndecidedError."""
    if services.lock(order_id=order_id).status != Status.PENDING:
        return False
    cancel(order_id=order_id, note="not paid in time")
    return True


def await_outcome(*, order_id: int, wait: float) -> None:
    """Returns when the order is decided, or after ``wait`` seconds, or at once where too many wait already. Do not call
    it within a transaction."""
    with suppress(waiting.Full), waiting.process.one("peers"), admission.aside():
        sagas.Checkout.await_decision(str(order_id), wait)
