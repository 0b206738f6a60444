"""Writes of users: the only place where the tables of this app are changed."""

from __future__ import annotations

from typing import Any

from chassis.messages import events
from django.db import IntegrityError, transaction
from django.utils import timezone

from users.models import Address, User


class EmailTakenError(Exception):
    """Another account has this e-mail address."""


def register(*, email: str, password: str, full_name: str) -> User:
    """A new customer. Raises EmailTakenError."""
    return _create(email=email, password=password, full_name=full_name)


def create_superuser(*, email: str, password: str, full_name: str, **fields: Any) -> User:
    return _create(email=email, password=password, full_name=full_name, is_staff=True, is_superuser=True, **fields)


def update_profile(*, user: User, **changes: Any) -> User:
    """Set the given fields (``email``, ``full_name``, …) and no others. Raises EmailTakenError."""
    if "email" in changes:
        changes["email"] = User.objects.normalize_email(changes["email"])
    for name, value in changes.items():
        setattr(user, name, value)
    _save(user, update_fields=[*changes, "updated_at"])
    return user


def store(*, user: User) -> User:
    """Save a user whose fields a form of the admin has set and checked. Raises EmailTakenError."""
    _save(user)
    return user


def record_login(*, user: User) -> None:
    """Saves the time, and the password where the login has hashed it anew."""
    user.last_login = timezone.now()
    user.save(update_fields=["last_login", *(("password", "updated_at") if user.renewed else ())])
    user.renewed = False


@transaction.atomic
def delete(*, user: User) -> None:
    """Deletes the user with all rows that cascade; rows that only point to the user stay and forget it.

    An event tells others once: for a user who is gone already there is no event.
    """
    user_id = user.pk
    _, rows = user.delete()
    if rows.get(User._meta.label):
        events.publish(
            capability="users",
            type="users.user.deleted",
            key=str(user_id),
            data={"user_id": user_id},
            version=user.version + 1,
        )


def add_address(*, user: User, line1: str, city: str, postal_code: str, country: str, line2: str = "") -> Address:
    return Address.objects.create(
        user=user, line1=line1, line2=line2, city=city, postal_code=postal_code, country=country
    )


def _create(*, email: str, password: str, full_name: str, **fields: Any) -> User:
    user = User(email=User.objects.normalize_email(email), full_name=full_name, **fields)
    user.set_password(password)
    _save(user)
    return user


def _save(user: User, *, update_fields: list[str] | None = None) -> None:
    # The savepoint keeps the caller's transaction usable after a duplicate.
    try:
        with transaction.atomic():
            user.save(update_fields=update_fields)
    except IntegrityError as error:
        if "users_user_email" in str(error):
            raise EmailTakenError(user.email) from error
        raise
