"""Writes of orders: the only place where the tables of this app are changed."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.db import IntegrityError, transaction
from django.utils import timezone
from products import selectors as catalogue
from products import services as products
from products.models import Product
from users import selectors as users
from users.models import User

from orders import provider, selectors, signals
from orders.models import Line, Order, Payment, PaymentMethod, Shipment, Status, StatusChange


class KeyReusedError(Exception):
    """The caller has used the idempotency key for another request."""


class UnknownProductsError(Exception):
    """Some of the products cannot be ordered; ``product_ids`` names them."""

    def __init__(self, product_ids: Sequence[int]) -> None:
        super().__init__(f"unknown products {product_ids}")
        self.product_ids = product_ids


class IllegalChangeError(Exception):
    """An order in its status cannot become what was asked."""

    def __init__(self, order: Order, status: Status) -> None:
        super().__init__(f"An order that is {order.status} cannot become {status.value}.")


@dataclass(frozen=True, slots=True)
class Wish:
    """So many of a product, as the customer asked."""

    product_id: int
    quantity: int


@transaction.atomic
def place(
    *,
    user: User,
    key: str,
    digest: str,
    wishes: Sequence[Wish],
    payment_token: str = "",
    save_payment_method: bool = False,
) -> Order:
    """The whole checkout: the order with its outcome, or the one that the key has placed before.

    Raises KeyReusedError, UnknownProductsError.
    """
    if earlier := _earlier(user, key, digest):
        return earlier
    sold = _products(wishes)
    # The order is inserted first: a twin of this request waits here for the key, and not behind
    # stock that it would have locked.
    try:
        with transaction.atomic():
            order = _open(user, key, digest, wishes, sold)
    except IntegrityError:
        if earlier := _earlier(user, key, digest):
            return earlier
        raise
    token = payment_token or selectors.payment_token(user=user)
    _settle(order, token)
    if save_payment_method and payment_token and order.status != Status.REJECTED:
        _save_method(user, payment_token)
    return order


@transaction.atomic
def confirm(*, order_id: int, note: str) -> Order:
    """The money for a pending order has come. Raises IllegalChangeError."""
    order = _locked(order_id)
    _change(order, Status.CONFIRMED, note)
    order.payments.filter(state=Payment.State.AWAITED).update(state=Payment.State.AUTHORIZED)
    return order


@transaction.atomic
def cancel(*, order_id: int, note: str) -> Order:
    """Take an order back, with its stock and its money; again is no error. Raises IllegalChangeError."""
    order = _locked(order_id)
    if order.status != Status.CANCELLED:
        _change(order, Status.CANCELLED, note)
        order.payments.exclude(state=Payment.State.DECLINED).update(state=Payment.State.RETURNED)
        signals.order_cancelled.send(Order, order=order)
    return order


@transaction.atomic
def expire(*, order_id: int) -> bool:
    """Cancel the order unless the money has come meanwhile; whether it did."""
    order = _locked(order_id)
    if order.status != Status.PENDING:
        return False
    cancel(order_id=order_id, note="not paid in time")
    return True


@transaction.atomic
def ship(*, order_id: int) -> Order:
    """Hand a confirmed order to the carrier. Raises IllegalChangeError."""
    order = _locked(order_id)
    _change(order, Status.SHIPPED, "")
    Shipment.objects.create(order=order, tracking_number=f"SB{secrets.token_hex(8).upper()}")
    return order


def forget_payment_method(*, method: PaymentMethod) -> None:
    method.delete()


def record_confirmation(*, order: Order) -> None:
    Order.objects.filter(pk=order.pk).update(confirmation_sent_at=timezone.now())


def store(*, order: Order) -> Order:
    """Save what the admin may edit of an order."""
    order.save(update_fields=["ship_to", "updated_at"])
    return order


def _earlier(user: User, key: str, digest: str) -> Order | None:
    order = selectors.order_by_key(user=user, key=key)
    if order and order.request_digest != digest:
        raise KeyReusedError(key)
    return order


def _products(wishes: Sequence[Wish]) -> Mapping[int, Product]:
    asked = {wish.product_id for wish in wishes}
    sold = catalogue.sellable(ids=asked)
    if missing := asked - sold.keys():
        raise UnknownProductsError(sorted(missing))
    return sold


def _open(user: User, key: str, digest: str, wishes: Sequence[Wish], sold: Mapping[int, Product]) -> Order:
    """A pending order at today's prices. Raises IntegrityError when the key is taken."""
    address = users.default_address(user_id=user.pk)
    order = Order.objects.create(
        user=user,
        idempotency_key=key,
        request_digest=digest,
        ship_to=str(address or ""),
        total=sum(sold[wish.product_id].price * wish.quantity for wish in wishes),
    )
    Line.objects.bulk_create(_line(order, wish, sold[wish.product_id]) for wish in wishes)
    StatusChange.objects.create(order=order, status=Status.PENDING)
    return order


def _line(order: Order, wish: Wish, product: Product) -> Line:
    return Line(order=order, product=product, name=product.name, quantity=wish.quantity, unit_price=product.price)


def _settle(order: Order, token: str) -> None:
    """Money and stock for a pending order: together they decide what becomes of it."""
    answer = provider.authorize(amount=order.total, token=token, reference=f"order {order.pk}")
    payment = Payment(
        order=order,
        state=Payment.State(answer.answer.value),
        amount=order.total,
        reference=answer.reference,
        reason=answer.reason,
    )
    if answer.answer is provider.Answer.DECLINED:
        _change(order, Status.REJECTED, f"payment declined: {answer.reason}")
    elif not _take_stock(order):
        payment.state = Payment.State.RETURNED
        _change(order, Status.REJECTED, "not enough stock")
    elif answer.answer is provider.Answer.AUTHORIZED:
        _change(order, Status.CONFIRMED, "")
    payment.save()


def _take_stock(order: Order) -> bool:
    try:
        products.sell(quantities=selectors.quantities(order=order), reference=f"order {order.pk}")
    except products.NotEnoughStockError:
        return False
    return True


def _save_method(user: User, token: str) -> None:
    PaymentMethod.objects.get_or_create(user=user, token=token, defaults={"label": provider.label(token=token)})


def _locked(order_id: int) -> Order:
    return Order.objects.select_for_update(no_key=True).get(pk=order_id)


def _change(order: Order, status: Status, note: str) -> None:
    if not Status(order.status).may_become(status):
        raise IllegalChangeError(order, status)
    order.status = status
    order.save(update_fields=["status", "updated_at"])
    StatusChange.objects.create(order=order, status=status, note=note)
