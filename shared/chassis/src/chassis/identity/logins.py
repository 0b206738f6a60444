"""The admin's login, with limits to how often it can be tried: `chassis.identity.tries`."""

from __future__ import annotations

import logging
from typing import Any

from django.contrib.admin.forms import AdminAuthenticationForm
from django.core.exceptions import ValidationError

from chassis.identity import tries
from chassis.process import about, clients

TRIES_PER_CLIENT = 30

logger = logging.getLogger(__name__)


class LoginForm(AdminAuthenticationForm):
    """Django's form, with limits to the tries per account and per client."""

    def clean(self) -> dict[str, Any]:
        """Raises ValidationError."""
        account, client = str(self.cleaned_data.get("username") or ""), clients.of(self.request)
        try:
            with tries.begun(account, client, per_client=TRIES_PER_CLIENT) as tried:
                return self._looked_at(tried)
        except tries.TooManyTries:
            # By their pseudonyms one sees whether it is one account, or one client.
            told = {"account": about.pseudonym(tries.spelled(account)), "client": about.pseudonym(client)}
            logger.warning("login_refused", extra=told)
            raise ValidationError("Too many tries. Wait a quarter of an hour.", code="throttled") from None

    def _looked_at(self, tried: tries.Try) -> dict[str, Any]:
        try:
            cleaned: dict[str, Any] = super().clean()
        except ValidationError:
            tried.right = False
            raise
        # Without a name or a password Django looks at no account, so nothing has been tried.
        tried.right = True if self.get_user() is not None else None
        return cleaned
