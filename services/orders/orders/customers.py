"""What users know of a customer, asked of the side that owns users."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from chassis.calls import ahead
from chassis.calls.client import CallError, Client, RefusedError
from django.conf import settings

_users = Client("users", settings.INTERNAL_URL, caller="orders", timeout=1.0, within=2.0, attempts=2)


class UnansweredError(Exception):
    """Users did not answer."""


@dataclass(frozen=True, slots=True)
class Customer:
    email: str
    full_name: str
    address: str  # one line; blank when the customer has none


def customer(*, user_id: int) -> Customer | None:
    """The customer, or None when there is no such account. Raises UnansweredError. Do not call it within a
    transaction."""
    try:
        found = _client().get(f"/internal/users/{user_id}").json()
    except RefusedError as error:
        if error.status == HTTPStatus.NOT_FOUND:
            return None
        raise UnansweredError(str(error)) from error
    except CallError as error:
        raise UnansweredError(str(error)) from error
    return Customer(found["email"], found["full_name"], found["address"] or "")


def address(*, user_id: int) -> str:
    """The customer's address for parcels; blank when there is none, or no answer."""
    try:
        found = customer(user_id=user_id)
    except UnansweredError:
        return ""
    return found.address if found else ""


def look_up_address(*, user_id: int) -> Callable[[], str]:
    """Asks for the address while the caller goes on; what is returned waits for it, and is `address`."""
    return ahead.begin(lambda: address(user_id=user_id))


def _client() -> Client:
    return _users
