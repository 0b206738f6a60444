"""What users know of a customer, read from the table here, even where it is a copy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from users import selectors as users
from users.models import User


class UnansweredError(Exception):
    """Users did not answer. It is never raised here, where the table can be read."""


@dataclass(frozen=True, slots=True)
class Customer:
    email: str
    full_name: str
    address: str  # one line; blank when the customer has none


def customer(*, user_id: int) -> Customer | None:
    """The customer, or None when there is no such account."""
    user = User.objects.filter(pk=user_id).first()
    return Customer(user.email, user.full_name, address(user_id=user_id)) if user else None


def address(*, user_id: int) -> str:
    """The customer's address for parcels; blank when there is none."""
    return str(users.default_address(user_id=user_id) or "")


def look_up_address(*, user_id: int) -> Callable[[], str]:
    """What is returned is `address`."""
    return lambda: address(user_id=user_id)
