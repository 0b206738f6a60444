"""Who asks: the requests by which an account is made, and by which it gets in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from strangler.traffic.known import IDENTITIES, Kept, Known, Request, Secret, Text, leaves
from strangler.traffic.steps import Account, Step

TOKENS = ("access", "access_token", "token", "key", "auth_token", "jwt", "id_token")


def has_password(request: Request) -> bool:
    """Whether a password is posted."""
    return request.method == "POST" and any(isinstance(leaf, Secret) for _, leaf in leaves(request.body))


def _identity(request: Request) -> str | None:
    names = {str(place[-1]): leaf for place, leaf in leaves(request.body) if place}
    return next((name for name in IDENTITIES if isinstance(names.get(name), Text | str)), None)


def _token(request: Request) -> Sequence[str | int] | None:
    found = {str(place[-1]): place for place, _ in leaves(request.answer) if place}
    return next((found[name] for name in TOKENS if name in found), None)


def opens(request: Request) -> bool:
    """Whether it is a login: a password for a token, or for a session."""
    if not has_password(request) or _identity(request) is None:
        return False
    return _token(request) is not None or (request.form and 302 in request.expected and "log" in request.path)


def registers(request: Request) -> bool:
    """Whether it makes an account."""
    return has_password(request) and _identity(request) is not None and not request.access and not opens(request)


def kept(body: Any, login: Request) -> Any:
    """The body; a token to refresh is that of the login."""
    if not isinstance(body, dict) or not isinstance(login.answer, dict):
        return body
    return {
        name: Kept(name) if isinstance(leaf, Text) and name.startswith("refresh") and name in login.answer else leaf
        for name, leaf in body.items()
    }


def account_of(known: Known, requests: Sequence[Request]) -> Account:
    """How a visit gets in. The shortest paths win: a login beside others is often an admin's."""
    ordered = sorted(requests, key=lambda each: len(each.path))
    login = next((each for each in ordered if opens(each)), None)
    register = next((each for each in ordered if registers(each) and (each.rows is None or _makes_row(each))), None)
    account = Account(page=known.login if login is None and known.scheme == "" else "")
    if account.page:
        account.identity = "username"  # as Django's own form calls it
    if login:
        account.login = Step("log_in", login)
        account.token = _token(login) or ()
        account.identity = _identity(login) or "email"
        if not account.token:
            account.page = login.path
    # Who registers has to get in: without a login only an account that is there does.
    if register and login:
        account.register = Step("register", register)
        names = {str(place[-1]) for place, _ in leaves(register.body) if place}
        if account.identity not in names:
            account.identity = _identity(register) or account.identity
    return account


def _makes_row(request: Request) -> bool:
    return any(row.kind == "insert" for row in request.rows or ())
