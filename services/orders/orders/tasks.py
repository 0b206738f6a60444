"""Work that nobody waits for.

The database knows what is due, and the tasks look for it. So a checkout needs no broker, and nothing is forgotten while
the broker is away.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import wraps

from celery import shared_task
from chassis.database import leases
from chassis.ownership import owners
from django.conf import settings
from django.core.mail import send_mail
from django.db import connection
from django.utils import timezone

from orders import checkout, customers, selectors, services
from orders.customers import Customer
from orders.models import Order

logger = logging.getLogger(__name__)

BATCH = 500


def owners_task(work: Callable[[], None]) -> Callable[[], None]:
    """A task that only the owner of orders does, and only one at a time: the beats of both sides may ask for it."""

    @wraps(work)
    def run() -> None:
        if not owners.is_open("orders") or not _take(work.__name__):
            return
        try:
            work()
        finally:
            _give_back(work.__name__)

    return shared_task(run)


@owners_task
def send_confirmations() -> None:
    """Mail the customers of confirmed orders, each at least once."""
    for order in selectors.unannounced(limit=BATCH):
        try:
            customer = customers.customer(user_id=order.user_id)
        except customers.UnansweredError:
            logger.warning("users_do_not_answer", extra={"order": order.pk})
            return  # the next round asks again
        if customer:
            _mail(order, customer)
        services.record_confirmation(order=order)


@owners_task
def expire_unpaid_orders() -> None:
    for order_id in selectors.unpaid(since=_ago(settings.UNPAID_ORDERS_LIVE), limit=BATCH):
        try:
            if checkout.expire(order_id=order_id):
                logger.info("order_expired", extra={"order": order_id})
        except services.UndecidedError:
            logger.info("order_undecided", extra={"order": order_id})


@owners_task
def ship_confirmed_orders() -> None:
    for order_id in selectors.unshipped(since=_ago(settings.ORDERS_SHIP_AFTER), limit=BATCH):
        try:
            services.ship(order_id=order_id, ship_to=_address(order_id))
        except services.IllegalChangeError:
            logger.info("order_changed_before_shipping", extra={"order": order_id})
        except customers.UnansweredError:
            logger.warning("users_do_not_answer", extra={"order": order_id})


def _address(order_id: int) -> str:
    """The address for an order that has none; blank when the order has one, or its customer has none."""
    order = Order.objects.get(pk=order_id)
    if order.ship_to or order.user_id is None:
        return ""
    customer = customers.customer(user_id=order.user_id)
    return customer.address if customer else ""


def _mail(order: Order, customer: Customer) -> None:
    lines = "\n".join(f"{line.quantity} x {line.name}" for line in order.lines.all())
    send_mail(
        subject=f"Your order {order.pk}",
        message=f"Dear {customer.full_name},\n\nthank you for your order:\n\n{lines}\n\n"
        f"Total: {order.total} {order.currency}\n",
        from_email=None,
        recipient_list=[customer.email],
    )


def _take(name: str) -> bool:
    return leases.take(f"orders.tasks.{name}", leases.this_session())


def _give_back(name: str) -> None:
    if connection.connection is None:
        return  # the session is gone, and the lease with it
    leases.give(f"orders.tasks.{name}", leases.this_session())


def _ago(span: timedelta) -> datetime:
    return timezone.now() - span
