"""What orders ask of products, and of themselves.

There is one key per reservation, so a release never overtakes the reservation.
"""

from __future__ import annotations

from typing import Any
from uuid import NAMESPACE_URL, uuid5

from chassis.messages import events
from chassis.sagas.saga import Command

from orders import selectors
from orders.models import Order

CAPABILITY = "orders"


def reservation_key(*, user_id: int, key: str) -> str:
    """The key is made of the caller and the Idempotency-Key: an order's id can be rolled back and given to another
    order."""
    return str(uuid5(NAMESPACE_URL, f"orders/{user_id}/{key}"))


def reserve(*, order: Order) -> Command:
    """Products answer with products.reserved or products.refused."""
    return Command("products", "products.reserve", key_of(order), _of(order) | {"lines": lines(order=order)})


def release(*, order: Order) -> Command:
    """Gives the order's stock back, whether it was reserved or taken without a reservation; a repetition is
    harmless."""
    taken = [] if order.reservation else lines(order=order)
    return Command("products", "products.release", key_of(order), _of(order) | {"lines": taken})


def authorise(*, order: Order) -> Command:
    """Asks for the order's money, in a message of its own: the provider is not called within a transaction."""
    return Command(CAPABILITY, "orders.authorise", str(order.pk), {"order_id": order.pk})


def send(command: Command) -> None:
    """Sends a command with the caller's transaction; no reply is asked for."""
    events.command(to=command.to, type=command.type, key=command.key, data=command.data, capability=CAPABILITY)


def key_of(order: Order) -> str:
    """The key by which products know the order's stock."""
    return order.reservation or str(uuid5(NAMESPACE_URL, f"orders/{order.pk}"))


def lines(*, order: Order) -> list[dict[str, int]]:
    counted = selectors.quantities(order=order)
    return [{"product_id": pk, "quantity": quantity} for pk, quantity in sorted(counted.items())]


def _of(order: Order) -> dict[str, Any]:
    return {"key": key_of(order), "reference": selectors.reference(order=order)}
