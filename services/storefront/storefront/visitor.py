"""What is remembered of a visitor, in two cookies that the storefront signs and scripts cannot read.

One has the cart, the other the tokens. Each is written only by the page that changes it: of two pages at a time, one
renews the tokens and the other adds to the cart, and neither takes back what the other did.

Note "signed, not hidden": whoever has the browser can read what is in the cookies. The tokens are their own, and are
worth as much in the cookie as anywhere else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.core import signing
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from storefront import clients
from storefront.cart import Cart
from storefront.interface import Account, Interface

CART_SECONDS = 30 * 24 * 3600
ACCOUNT_SECONDS = 14 * 24 * 3600  # as long as a refresh token lasts


class Visitor:
    """``cart`` may be set anew, and ``api.account``, too; `write` notices."""

    def __init__(self, request: HttpRequest) -> None:
        self._cart_before = self._read_cart(request)
        account = self._read_account(request)
        self._account_before = asdict(account) if account else None
        self.cart = self._cart_before or Cart()
        self.api = Interface(client=clients.of(request), secure=request.is_secure(), account=account)

    @property
    def name(self) -> str:
        """Empty for a visitor who is not logged in."""
        return self.api.account.name if self.api.account else ""

    def leave(self) -> None:
        """Forgets who it was, and what they wanted: the next at this browser may be somebody else."""
        self.api.account = None
        self.cart = Cart()

    def write(self, response: HttpResponseBase) -> None:
        """The cookies, as far as they have changed."""
        if self.cart != (self._cart_before or self.cart) or (self._cart_before is None and self.cart.lines):
            self._set(response, "cart", self.cart.packed(), CART_SECONDS)
        account = asdict(self.api.account) if self.api.account else None
        if account == self._account_before:
            return
        if account is None:
            response.delete_cookie(_name("account"), samesite="Lax")
            response.cookies[_name("account")]["secure"] = settings.SECURE_COOKIES
        else:
            self._set(response, "account", account, ACCOUNT_SECONDS)

    @staticmethod
    def _set(response: HttpResponseBase, what: str, content: Any, seconds: int) -> None:
        response.set_cookie(
            _name(what),
            signing.dumps(content, salt=f"storefront.{what}", compress=True),
            max_age=seconds,
            httponly=True,
            samesite="Lax",
            secure=settings.SECURE_COOKIES,
        )

    @staticmethod
    def _read_cart(request: HttpRequest) -> Cart | None:
        content = _read(request, "cart", CART_SECONDS)
        if not isinstance(content, dict):
            return None
        try:
            return Cart.unpacked(content)
        except (KeyError, TypeError, ValueError):
            return None

    @staticmethod
    def _read_account(request: HttpRequest) -> Account | None:
        content = _read(request, "account", ACCOUNT_SECONDS)
        try:
            return Account(**content) if isinstance(content, dict) else None
        except TypeError:
            return None


def _read(request: HttpRequest, what: str, seconds: int) -> Any:
    """None where there is no cookie, and where it is not one of ours."""
    try:
        return signing.loads(request.COOKIES[_name(what)], salt=f"storefront.{what}", max_age=seconds)
    except (KeyError, signing.BadSignature, ValueError):
        return None


def _name(what: str) -> str:
    # A name with this beginning is taken by browsers from the site itself alone, and by https alone.
    return f"__Host-{what}" if settings.SECURE_COOKIES else what


class VisitorMiddleware:
    """``request.visitor``."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request.visitor = Visitor(request)  # type: ignore[attr-defined]
        response = self.get_response(request)
        request.visitor.write(response)  # type: ignore[attr-defined]
        return response
