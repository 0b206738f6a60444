"""The admin's login, which nobody can try for long.

Counted in Django's cache: for all processes where they share one, else for each. Only what fails counts, before its
password is hashed. Whoever is kept out waits until nothing has failed for the whole of PERIOD.
"""

from __future__ import annotations

import hashlib
import logging
from typing import Any

from django.contrib.admin.forms import AdminAuthenticationForm
from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.http import HttpRequest

PERIOD = 15 * 60  # seconds
OF_AN_ACCOUNT = 10
OF_AN_ADDRESS = 30

logger = logging.getLogger(__name__)


class LoginForm(AdminAuthenticationForm):
    """Django's, with an end to the tries of an account and of an address."""

    def clean(self) -> dict[str, Any]:
        """Raises ValidationError."""
        account = str(self.cleaned_data.get("username") or "").casefold()
        limits = {_key("account", account): OF_AN_ACCOUNT, _key("address", _address(self.request)): OF_AN_ADDRESS}
        if any((cache.get(key) or 0) >= most for key, most in limits.items()):
            logger.warning("login_refused", extra={"account": account, "address": _address(self.request)})
            raise ValidationError("Too many tries. Wait a quarter of an hour.", code="throttled")
        try:
            cleaned = super().clean()
        except ValidationError:
            for key in limits:
                _count(key)
            raise
        cache.delete(_key("account", account))
        return cleaned


def _key(kind: str, of: str) -> str:
    return f"chassis-login-{kind}-{hashlib.sha256(of.encode(errors='replace')).hexdigest()}"


def _count(key: str) -> None:
    cache.add(key, 0, PERIOD)
    try:
        cache.incr(key)
        cache.touch(key, PERIOD)
    except ValueError:  # it has just run out
        cache.set(key, 1, PERIOD)


def _address(request: HttpRequest | None) -> str:
    """The last that a proxy has appended, which from the kit's gateway is the only one."""
    if request is None:
        return ""
    forwarded = request.headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
    return forwarded or str(request.META.get("REMOTE_ADDR", ""))
