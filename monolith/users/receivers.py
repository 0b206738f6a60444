"""What a login writes."""

from __future__ import annotations

from typing import Any

from chassis.ownership.owners import is_open
from django.contrib.auth.models import update_last_login
from django.contrib.auth.signals import user_logged_in

from users import services
from users.models import User


def connect() -> None:
    """Replace Django's receiver, because that one writes even where users are not owned here."""
    user_logged_in.disconnect(update_last_login, dispatch_uid="update_last_login")
    user_logged_in.connect(record_login, dispatch_uid="users.record_login")


def record_login(sender: type[User], user: User, **kwargs: Any) -> None:
    if is_open("users"):
        services.record_login(user=user)
