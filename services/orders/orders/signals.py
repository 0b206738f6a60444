"""What the rest of the shop may want to know of orders.

Sent inside the transaction that changes the order, so what a receiver writes is committed with it.
"""

from __future__ import annotations

from django.dispatch import Signal

order_cancelled = Signal()  # order
