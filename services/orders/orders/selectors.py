"""Reads of orders."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from chassis.sagas.saga import UNDECIDED
from django.db.models import Exists, OuterRef, Prefetch, QuerySet, TextField
from django.db.models.functions import Cast

from orders.models import ForgottenCustomer, Line, Order, PaymentMethod, Saga, Status
from orders.provider import DEFAULT_TOKEN

CHECKOUT = "checkout"


def orders_of(*, user_id: int) -> QuerySet[Order]:
    return _with_lines(Order.objects.filter(user_id=user_id))


def order(*, order_id: int) -> Order:
    """The order as it is now, with its lines. Raises Order.DoesNotExist."""
    return _with_lines(Order.objects.all()).get(pk=order_id)


def order_by_key(*, user_id: int, key: str) -> Order | None:
    return orders_of(user_id=user_id).filter(idempotency_key=key).first()


def is_being_decided(*, order_id: int) -> bool:
    """Whether a checkout still decides the order. An order that waits for a bank transfer counts as decided."""
    return Saga.objects.filter(kind=CHECKOUT, key=str(order_id), state__in=UNDECIDED).exists()


def reference(*, order: Order) -> str:
    """The name by which other services know the order."""
    return f"order {order.pk}"


def quantities(*, order: Order) -> dict[int, int]:
    """The ordered quantity of each product that still exists, by its id."""
    counted: Counter[int] = Counter()
    for line in order.lines.all():
        if line.product_id is not None:
            counted[line.product_id] += line.quantity
    return dict(counted)


def payment_token(*, user_id: int) -> str:
    """The token of the payment method saved last, or the provider's default."""
    saved = PaymentMethod.objects.filter(user_id=user_id).order_by("-pk").values_list("token", flat=True)
    return saved.first() or DEFAULT_TOKEN


def unpaid(*, since: datetime, limit: int) -> list[int]:
    """The orders that wait for money and are older than ``since``, without those whose checkout has not ended."""
    undecided = Saga.objects.filter(kind=CHECKOUT, key=Cast(OuterRef("pk"), TextField()), state__in=UNDECIDED)
    pending = Order.objects.filter(~Exists(undecided), status=Status.PENDING, created_at__lt=since)
    return list(pending.order_by("created_at").values_list("pk", flat=True)[:limit])


def unshipped(*, since: datetime, limit: int) -> list[int]:
    confirmed = Order.objects.filter(status=Status.CONFIRMED, updated_at__lt=since)
    return list(confirmed.order_by("updated_at").values_list("pk", flat=True)[:limit])


def unannounced(*, limit: int) -> QuerySet[Order]:
    """The confirmed orders whose customers have not been told. Customers who have left the shop get no mail."""
    silent = Order.objects.filter(status=Status.CONFIRMED, confirmation_sent_at=None, user_id__isnull=False)
    return _with_lines(silent).order_by("pk")[:limit]


def _with_lines(orders: QuerySet[Order]) -> QuerySet[Order]:
    """The lines keep the order in which the customer named them, whatever has been written to them since."""
    return orders.prefetch_related(Prefetch("lines", queryset=Line.objects.order_by("pk")))


def is_forgotten(*, user_id: int) -> bool:
    return ForgottenCustomer.objects.filter(pk=user_id).exists()
