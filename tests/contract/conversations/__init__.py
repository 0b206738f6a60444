"""The conversations that every side is asked to hold, by capability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.contract.conversation import Step
from tests.contract.conversations import orders, products, users

CONVERSATIONS: Mapping[str, Sequence[Step]] = {
    "users": users.CONVERSATION,
    "products": products.CONVERSATION,
    "orders": orders.CONVERSATION,
}
