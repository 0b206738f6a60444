"""Work that nobody waits for.

What is due stands in the database, and the tasks look for it: a checkout asks nothing of the broker, and
nothing is forgotten while the broker is away.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from celery import shared_task
from django.conf import settings
from django.core.mail import send_mail
from django.utils import timezone

from orders import selectors, services
from orders.models import Order

logger = logging.getLogger(__name__)

BATCH = 500


@shared_task
def send_confirmations() -> None:
    """Mail the customers of confirmed orders, each at least once."""
    for order in selectors.unannounced(limit=BATCH):
        _mail(order)
        services.record_confirmation(order=order)


@shared_task
def expire_unpaid_orders() -> None:
    for order_id in selectors.unpaid(since=_ago(settings.UNPAID_ORDERS_LIVE), limit=BATCH):
        if services.expire(order_id=order_id):
            logger.info("order_expired", extra={"order": order_id})


@shared_task
def ship_confirmed_orders() -> None:
    for order_id in selectors.unshipped(since=_ago(settings.ORDERS_SHIP_AFTER), limit=BATCH):
        try:
            services.ship(order_id=order_id)
        except services.IllegalChangeError:
            logger.info("order_changed_before_shipping", extra={"order": order_id})


def _mail(order: Order) -> None:
    lines = "\n".join(f"{line.quantity} x {line.name}" for line in order.lines.all())
    send_mail(
        subject=f"Your order {order.pk}",
        message=f"Dear {order.user.full_name},\n\nthank you for your order:\n\n{lines}\n\n"
        f"Total: {order.total} {order.currency}\n",
        from_email=None,
        recipient_list=[order.user.email],
    )


def _ago(span: timedelta) -> datetime:
    return timezone.now() - span
