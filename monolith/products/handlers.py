"""Handles the messages by which other services ask products; each handler runs in one transaction with its inbox
row."""

from __future__ import annotations

from typing import Any

from chassis.messages import events
from chassis.messages.events import Message
from chassis.messages.inbox import handles

from products import services
from products.models import Reservation


@handles("products.reserve", capability="products")
def reserve(message: Message) -> None:
    """Answers ``products.reserved``, or ``products.refused`` with the reason."""
    reservation = services.reserve(**_wish(message))
    if reservation.state == Reservation.State.RESERVED:
        _answer(message, "products.reserved", {"key": reservation.key, "lines": reservation.lines})
        return
    refusal = {"key": reservation.key, "reason": reservation.reason, "product_ids": reservation.product_ids}
    _answer(message, "products.refused", refusal)


@handles("products.release", capability="products")
def release(message: Message) -> None:
    services.release(**_wish(message))


def _wish(message: Message) -> dict[str, Any]:
    """The parts of the message that are known here; a newer sender may send more."""
    return {name: message.data[name] for name in ("key", "reference", "lines")}


def _answer(message: Message, type: str, data: dict[str, object]) -> None:
    events.reply(to_message=message, type=type, data=data, capability="products")
