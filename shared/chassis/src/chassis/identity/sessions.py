"""Sessions of the side that has the accounts, for a process that has neither its accounts nor its sessions.

Note "before the transaction": nobody may wait for another process with a transaction open. So a request that may write
is asked for before the fence opens one, and any request under ASGI, where a view must not wait. Another request is
asked for when its user or its session is wanted, and most public pages want neither.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from django.conf import settings as django_settings
from django.contrib.sessions.backends.base import SessionBase
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers
from django.utils.functional import SimpleLazyObject

from chassis.identity import lookups, remote
from chassis.identity.lookups import RETRY_AFTER_SECONDS, Asked, Kind, UnavailableError
from chassis.process.admission import SAFE_METHODS

KEYWORD = "token"  # of REST framework's tokens, in small letters


class ReadOnlySessionError(RuntimeError):
    """The session is another side's, and is not written here."""


class RemoteSession(SessionBase):
    """``request.session``: a copy, as old as `chassis.identity.lookups` says. Every write raises
    ReadOnlySessionError; what is changed inside of a value is not kept."""

    def __init__(self, asked: Asked, key: str | None) -> None:
        super().__init__(key)
        self._asked = asked
        if self.session_key is None:
            self._session_cache: dict[str, Any] = _Sealed()

    def load(self) -> dict[str, Any]:
        """Raises UnavailableError."""
        found = self._asked.session(self.session_key or "")
        if not found:
            self._session_key = None  # as Django's engines have it for a session that is not there
        return _Sealed(found)

    async def aload(self) -> dict[str, Any]:
        """Does not wait where the answer has been had before the view; see the note "before the transaction"."""
        return self.load()

    def save(self, must_create: bool = False) -> None:
        _refuse("saved")

    def create(self) -> None:
        _refuse("created")

    def clear(self) -> None:
        _refuse("emptied")

    def delete(self, session_key: str | None = None) -> None:
        _refuse("deleted")

    def exists(self, session_key: str) -> bool:
        _refuse("looked for")


class _Sealed(dict[str, Any]):
    """A session's content; SessionBase does all its writes by these methods."""

    def __setitem__(self, key: str, value: Any) -> None:
        _refuse(f"changed ({key})")

    def __delitem__(self, key: str) -> None:
        if key not in self:
            raise KeyError(key)
        _refuse(f"changed ({key})")

    def pop(self, key: str, *default: Any) -> Any:
        if key in self:
            _refuse(f"changed ({key})")
        return super().pop(key, *default)

    def update(self, *_: Any, **__: Any) -> None:
        _refuse("changed")


def _refuse(what: str) -> NoReturn:
    raise ReadOnlySessionError(
        f"a session of the side that has the accounts cannot be {what} here, only read: let that side do it, or give "
        "both sides one store of sessions (SESSION_ENGINE, and Django's SessionMiddleware behind this one)"
    )


class IdentityMiddleware:
    """Gives requests ``user``, ``auser`` and ``session``; belongs before admission and fence.

    Where the side that has the accounts does not answer, a request that wants to know its user is answered with 503.
    """

    sync_capable = True
    async_capable = False

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        asked = lookups.of(request)
        key = request.COOKIES.get(django_settings.SESSION_COOKIE_NAME, "")
        session = RemoteSession(asked, key or None)

        def user() -> Any:
            session.accessed = True  # so the answer depends on the cookie
            return asked.user("session", key) or remote.nobody()

        async def auser() -> Any:
            return lazy

        lazy: Any = SimpleLazyObject(user)
        request.session, request.user, request.auser = session, lazy, auser
        if request.method not in SAFE_METHODS or isinstance(request, ASGIRequest):
            for kind, given in _credentials(request):
                asked.ahead(kind, given)
        response = self.get_response(request)
        # An error of a view comes by `process_exception`; one of a middleware has become a 500 on its way here.
        if asked.failed and response.status_code == 500:
            response = later()
        if session.accessed:
            patch_vary_headers(response, ("Cookie",))
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponseBase | None:
        return later() if isinstance(exception, UnavailableError) else None


def later() -> HttpResponseBase:
    """Who it is cannot be told now."""
    response = JsonResponse({"detail": "Who you are cannot be told at the moment; try again."}, status=503)
    response["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response


def _credentials(request: HttpRequest) -> Iterator[tuple[Kind, str]]:
    """By what the request may want to be known; mostly there is one."""
    words = str(request.META.get("HTTP_AUTHORIZATION", "")).split()
    if len(words) == 2 and words[0].lower() == KEYWORD:
        yield "token", words[1]
    if key := request.COOKIES.get(django_settings.SESSION_COOKIE_NAME):
        yield "session", key
