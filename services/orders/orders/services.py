"""Writes of orders: the only place where the tables of this app are changed."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from chassis.database import isolation, leases
from chassis.messages import events
from django.db import IntegrityError, transaction
from django.utils import timezone

from orders import provider, selectors
from orders.models import ForgottenCustomer, Line, Order, Payment, PaymentMethod, Shipment, Status, StatusChange


class KeyReusedError(Exception):
    """The caller has used the idempotency key for another request."""


class ForgottenCustomerError(Exception):
    """The caller's account is gone."""


class IllegalChangeError(Exception):
    """An order in its status cannot become what was asked."""

    def __init__(self, order: Order, status: Status) -> None:
        super().__init__(f"An order that is {order.status} cannot become {status.value}.")


class UndecidedError(IllegalChangeError):
    """The order's checkout has not ended, and only the checkout may decide the order."""

    def __init__(self, order: Order) -> None:
        Exception.__init__(self, f"Order {order.pk} is still being decided; try again.")


@dataclass(frozen=True, slots=True)
class Wish:
    """A product and its quantity, as the customer asked for it."""

    product_id: int
    quantity: int


@dataclass(frozen=True, slots=True)
class Offer:
    """A product as it is sold; without name and price where products have not told them yet."""

    name: str = ""
    price: Decimal = Decimal("0.00")


def earlier(*, user_id: int, key: str, digest: str) -> Order | None:
    """The order that the key has placed before. Raises KeyReusedError."""
    order = selectors.order_by_key(user_id=user_id, key=key)
    if order and order.request_digest != digest:
        raise KeyReusedError(key)
    return order


def open_order(
    *,
    user_id: int,
    key: str,
    digest: str,
    wishes: Sequence[Wish],
    offers: Mapping[int, Offer],
    ship_to: str,
    reservation: str | None,
) -> tuple[Order, bool]:
    """A pending order, and whether it is new. A second request with the same key waits here for the first.

    Raises KeyReusedError, ForgottenCustomerError.
    """
    _stay(user_id)
    try:
        with transaction.atomic():
            order = Order.objects.create(
                user_id=user_id,
                idempotency_key=key,
                request_digest=digest,
                reservation=reservation,
                ship_to=ship_to,
                total=sum(offers[wish.product_id].price * wish.quantity for wish in wishes),
            )
    except IntegrityError:
        if order := earlier(user_id=user_id, key=key, digest=digest):
            return order, False
        raise
    Line.objects.bulk_create(_line(order, wish, offers[wish.product_id]) for wish in wishes)
    StatusChange.objects.create(order=order, status=Status.PENDING)
    return order, True


def lock(*, order_id: int) -> Order:
    """The order, which then stays as it is until the end of the caller's transaction."""
    return Order.objects.select_for_update(no_key=True).get(pk=order_id)


def cost(*, lines: Iterable[Line], sold: Mapping[int, Offer]) -> Decimal:
    """What the lines cost, at the price of the offer where there is one."""
    prices = (
        (line.quantity, sold[line.product_id].price if line.product_id in sold else line.unit_price) for line in lines
    )
    return sum((quantity * price for quantity, price in prices), Decimal("0.00"))


@isolation.joined()
def fill_in(*, order_id: int, sold: Mapping[int, Offer]) -> Order:
    """Writes names and prices as they were when the stock was reserved; they decide what is paid. The order is locked
    from then on."""
    order = lock(order_id=order_id)
    lines = list(order.lines.all())
    changed = [
        line for line in lines if (offer := sold.get(line.product_id)) and offer != Offer(line.name, line.unit_price)
    ]
    for line in changed:
        line.name, line.unit_price = sold[line.product_id].name, sold[line.product_id].price
    if changed:
        Line.objects.bulk_update(changed, ("name", "unit_price"))
        order.total = cost(lines=lines, sold={})
        order.save(update_fields=["total", "updated_at"])
    return order


@isolation.joined()
def pay(*, order_id: int, answer: provider.Authorization) -> Payment.State | None:
    """Write down what the provider has said of a pending order's money.

    Money for an order that has ended meanwhile is given back at once, and None is returned. A second call with the same
    reference is no error and changes nothing.
    """
    return pay_for(order=lock(order_id=order_id), answer=answer)


def pay_for(*, order: Order, answer: provider.Authorization) -> Payment.State | None:
    """The same, for an order that the caller's transaction has locked."""
    earlier = order.payments.filter(reference=answer.reference).first()
    if earlier:
        return Payment.State(earlier.state)
    state = Payment.State(answer.answer.value)
    is_late = order.status != Status.PENDING
    if is_late and state != Payment.State.DECLINED:
        state = Payment.State.RETURNED
    Payment.objects.create(
        order=order, state=state, amount=order.total, reference=answer.reference, reason=answer.reason
    )
    return None if is_late else state


@isolation.joined()
def conclude(*, order_id: int, refusal: str | None, payment: str | None, saved_token: str) -> None:
    """Ends a checkout: the order is rejected or confirmed, or stays pending for as long as a transfer is awaited.

    ``payment`` is the state of the money where nothing was refused; ``saved_token``, unless it is empty, also pays the
    customer's next order. Raises IllegalChangeError.
    """
    order = lock(order_id=order_id)
    if refusal is not None:
        _change(order, Status.REJECTED, refusal[:200])
        _return_money(order)
        return
    if payment == Payment.State.AUTHORIZED:
        _change(order, Status.CONFIRMED, "")
    if saved_token:
        save_payment_method(order_id=order_id, token=saved_token)


@transaction.atomic
def confirm(*, order_id: int, note: str) -> Order:
    """The money for a pending order has come. Raises IllegalChangeError."""
    order = lock(order_id=order_id)
    _refuse_undecided(order)
    _change(order, Status.CONFIRMED, note)
    order.payments.filter(state=Payment.State.AWAITED).update(state=Payment.State.AUTHORIZED)
    return order


@transaction.atomic
def take_back(*, order_id: int, note: str) -> tuple[Order, bool]:
    """Cancels an order and gives its money back. Returns the order, and whether `checkout.cancel` still has to give its
    stock back.

    Raises IllegalChangeError, and UndecidedError while its checkout has not ended.
    """
    order = lock(order_id=order_id)
    _refuse_undecided(order)
    if order.status == Status.CANCELLED:
        return order, False
    _change(order, Status.CANCELLED, note)
    _return_money(order)
    return order, True


@transaction.atomic
def ship(*, order_id: int, ship_to: str = "") -> Order:
    """Hand a confirmed order to the carrier; ``ship_to`` where the order has no address yet.

    Raises IllegalChangeError.
    """
    order = lock(order_id=order_id)
    if ship_to and not order.ship_to:
        order.ship_to = ship_to
        order.save(update_fields=["ship_to"])
    _change(order, Status.SHIPPED, "")
    Shipment.objects.create(order=order, tracking_number=f"SB{secrets.token_hex(8).upper()}")
    return order


@transaction.atomic
def forget_customer(*, user_id: int) -> int:
    """The account is gone: orders stay and forget it, payment methods go. Returns how many orders pointed to the
    account."""
    _alone(user_id)
    count = Order.objects.filter(user_id=user_id).update(user_id=None)
    PaymentMethod.objects.filter(user_id=user_id).delete()
    ForgottenCustomer.objects.get_or_create(pk=user_id, defaults={"orders": count})
    return count


@transaction.atomic
def save_payment_method(*, order_id: int, token: str) -> None:
    """Saves the token for the order's customer, unless that customer has left."""
    order = lock(order_id=order_id)
    if order.user_id is not None:
        label = provider.label(token=token)
        PaymentMethod.objects.get_or_create(user_id=order.user_id, token=token, defaults={"label": label})


def forget_payment_method(*, method: PaymentMethod) -> None:
    method.delete()


def record_confirmation(*, order: Order) -> None:
    Order.objects.filter(pk=order.pk).update(confirmation_sent_at=timezone.now())


def store(*, order: Order) -> Order:
    """Save what the admin may edit of an order."""
    order.save(update_fields=["ship_to", "updated_at"])
    return order


def _line(order: Order, wish: Wish, offer: Offer) -> Line:
    return Line(
        order=order, product_id=wish.product_id, name=offer.name, quantity=wish.quantity, unit_price=offer.price
    )


def _return_money(order: Order) -> None:
    order.payments.exclude(state=Payment.State.DECLINED).update(state=Payment.State.RETURNED)


def _refuse_undecided(order: Order) -> None:
    if selectors.is_being_decided(order_id=order.pk):
        raise UndecidedError(order)


def _change(order: Order, status: Status, note: str) -> None:
    if not Status(order.status).may_become(status):
        raise IllegalChangeError(order, status)
    order.status = status
    order.version += 1
    order.save(update_fields=["status", "version", "updated_at"])
    StatusChange.objects.create(order=order, status=status, note=note)
    _tell(order)


def _tell(order: Order) -> None:
    data: dict[str, Any] = {
        "order_id": order.pk,
        "user_id": order.user_id,
        "total": order.total,
        "currency": order.currency,
        "status": order.status,
    }
    events.publish(
        capability="orders",
        type=f"orders.order.{Status(order.status).value}",
        key=str(order.pk),
        data=data,
        version=order.version,
    )


# Note "forgetting": no order may be placed between the check that the customer is not forgotten and the forgetting
# itself. So both take the customer's turn; a request that places an order takes a shared one.


def _stay(user_id: int) -> None:
    """The customer is not forgotten before this transaction ends. Raises ForgottenCustomerError."""
    leases.turn(f"orders.customer {user_id}", shared=True)
    if selectors.is_forgotten(user_id=user_id):
        raise ForgottenCustomerError(user_id)


def _alone(user_id: int) -> None:
    leases.turn(f"orders.customer {user_id}")
