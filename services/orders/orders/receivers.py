"""What follows from an order's being cancelled."""

from __future__ import annotations

from typing import Any

from orders import shelves, signals
from orders.models import Order


def connect() -> None:
    signals.order_cancelled.connect(return_stock, dispatch_uid="orders.return_stock")


def return_stock(sender: type[Order], order: Order, **kwargs: Any) -> None:
    shelves.present().release(order)
