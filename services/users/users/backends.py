"""How an e-mail address and a password become a user."""

from __future__ import annotations

from functools import partial
from typing import Any

from chassis.ownership.owners import is_open
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.hashers import check_password, make_password
from django.http import HttpRequest

from users.models import User


class EmailBackend(ModelBackend):
    """Django's backend, except that a login writes only where users are owned.

    Django hashes a password again at login when the settings of the hasher have changed. While users are owned
    elsewhere, that write would meet the fence. A login to the admin, which is served here from the copy, would then
    fail.
    """

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **kwargs: Any,
    ) -> User | None:
        email = username or kwargs.get(User.USERNAME_FIELD)
        if email is None or password is None:
            return None
        try:
            user = User.objects.get_by_natural_key(email)
        except User.DoesNotExist:
            make_password(password)  # takes as long as a wrong password, so nobody learns which accounts exist
            return None
        if not check_password(password, user.password, setter=partial(_renew, user)):
            return None
        return user if self.user_can_authenticate(user) else None


def _renew(user: User, password: str) -> None:
    """Hashes in the present way; `services.record_login` saves it. A write of its own, before that one, could be
    committed just before a fence is put up, and then the login could not be repeated at the new owner."""
    if is_open("users"):
        user.set_password(password)
        user.renewed = True
