"""Reads of users."""

from __future__ import annotations

from django.db.models import QuerySet

from users.models import Address, User


def email_taken(*, email: str, except_for: User | None = None) -> bool:
    """Whether another account has the address, in whatever case it is written."""
    others = User.objects.filter(email__iexact=email)
    return (others.exclude(pk=except_for.pk) if except_for else others).exists()


def addresses_of(*, user: User) -> QuerySet[Address]:
    return Address.objects.filter(user=user)


def default_address(*, user_id: int) -> Address | None:
    return Address.objects.filter(user_id=user_id).order_by("pk").first()
