"""REST framework's tokens (``Authorization: Token …``) where the side that has the accounts has the tokens, too.

For sessions REST framework's own SessionAuthentication does: it takes the user of
`chassis.identity.sessions.IdentityMiddleware`, and looks at the CSRF token.
"""

from __future__ import annotations

from typing import Any

from django.views.decorators.debug import sensitive_variables

from chassis.extras import missing
from chassis.identity import lookups
from chassis.identity.lookups import RETRY_AFTER_SECONDS, UnavailableError

try:
    from rest_framework.authentication import TokenAuthentication
    from rest_framework.exceptions import APIException, AuthenticationFailed
    from rest_framework.request import Request
except ImportError as error:
    raise missing("rest", error) from error


class IdentityUnavailable(APIException):
    """503: whose the token is cannot be told now; the client has done nothing wrong."""

    status_code = 503
    default_detail = "Who you are cannot be told at the moment; try again."
    default_code = "identity_unavailable"
    wait = RETRY_AFTER_SECONDS  # REST framework makes the Retry-After header of it


class RemoteTokenAuthentication(TokenAuthentication):
    """``request.user`` is as `chassis.identity.remote.user_of` makes it, ``request.auth`` the token's text. A subclass
    may have another ``keyword``."""

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        self._asked = lookups.of(request._request)
        return super().authenticate(request)

    @sensitive_variables("key")
    def authenticate_credentials(self, key: str) -> tuple[Any, str]:
        """Raises AuthenticationFailed, IdentityUnavailable."""
        try:
            user = self._asked.user("token", key)
        except UnavailableError:
            raise IdentityUnavailable from None
        if user is None:
            raise AuthenticationFailed("Invalid token.")
        return user, key
