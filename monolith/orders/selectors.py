"""Reads of orders."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from django.db.models import QuerySet
from users.models import User

from orders.models import Order, PaymentMethod, Status
from orders.provider import DEFAULT_TOKEN


def orders_of(*, user: User) -> QuerySet[Order]:
    return Order.objects.filter(user=user).prefetch_related("lines")


def order_by_key(*, user: User, key: str) -> Order | None:
    return orders_of(user=user).filter(idempotency_key=key).first()


def quantities(*, order: Order) -> dict[int, int]:
    """What was ordered of each product that still exists, by its id."""
    counted: Counter[int] = Counter()
    for line in order.lines.all():
        if line.product_id is not None:
            counted[line.product_id] += line.quantity
    return dict(counted)


def payment_token(*, user: User) -> str:
    """The token of the payment method saved last, or the provider's default."""
    saved = PaymentMethod.objects.filter(user=user).order_by("-pk").values_list("token", flat=True)
    return saved.first() or DEFAULT_TOKEN


def unpaid(*, since: datetime, limit: int) -> list[int]:
    pending = Order.objects.filter(status=Status.PENDING, created_at__lt=since)
    return list(pending.order_by("created_at").values_list("pk", flat=True)[:limit])


def unshipped(*, since: datetime, limit: int) -> list[int]:
    confirmed = Order.objects.filter(status=Status.CONFIRMED, updated_at__lt=since)
    return list(confirmed.order_by("updated_at").values_list("pk", flat=True)[:limit])


def unannounced(*, limit: int) -> QuerySet[Order]:
    """Confirmed orders whose customers have not been told; who has left the shop is not written to."""
    silent = Order.objects.filter(status=Status.CONFIRMED, confirmation_sent_at=None, user__isnull=False)
    return silent.select_related("user").prefetch_related("lines").order_by("pk")[:limit]
