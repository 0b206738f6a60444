"""Handles the messages that come to orders."""

from __future__ import annotations

import logging

from chassis.messages.events import Message
from chassis.messages.inbox import handles
from chassis.sagas import saga
from prometheus_client import Counter

from orders import provider, sagas, services

logger = logging.getLogger(__name__)

FORGOTTEN = Counter("orders_customers_forgotten_total", "Customers whose accounts were deleted and whom orders forgot.")


@handles("products.reserved", capability="orders", before=sagas.ask_at_once)
def reserved(message: Message, answer: provider.Authorization | None) -> None:
    """Products have taken the stock of a checkout, and the provider has been asked for its money."""
    sagas.take_reservation(message, answer)


@handles("products.refused", capability="orders")
def refused(message: Message) -> None:
    """Products have refused a checkout."""
    saga.on_reply(message)


@handles("orders.authorise", capability="orders", before=sagas.ask_provider)
def authorise(message: Message, answer: provider.Authorization) -> None:
    """The provider has said whether an order's money is ours."""
    sagas.take_payment(message, answer)


@handles("users.user.deleted", capability="orders")
def forget(message: Message) -> None:
    """An account is gone."""
    user_id = int(message.data["user_id"])
    count = services.forget_customer(user_id=user_id)
    FORGOTTEN.inc()
    logger.info("customer_forgotten", extra={"user": user_id, "orders": count})
