"""Checks how accounts of another side are known, before a process starts (``manage.py check``)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from django.apps import AppConfig, apps
from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured
from django.db.models import Model
from django.utils.module_loading import import_string

from chassis import addresses, settings
from chassis.identity.remote import RemoteUser

IDENTITY = "chassis.identity.sessions.IdentityMiddleware"
FENCE = "chassis.ownership.fence.FenceMiddleware"
AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"
SESSIONS = "django.contrib.sessions.middleware.SessionMiddleware"
COOKIES = "django.contrib.messages.storage.cookie.CookieStorage"
# What an attribute would hide.
TAKEN = frozenset({"pk", "id", "username", "is_active", "is_staff", "is_superuser", "groups"})


@register("chassis")
def identity(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """All that can be checked without the other side; nothing where the project has none of it."""
    asks, tells = bool(settings.identity_url()), bool(getattr(django_settings, "CHASSIS_IDENTITY_SECRETS", ()))
    if not asks and not tells and IDENTITY not in django_settings.MIDDLEWARE:
        return []
    found = [*_secrets(), *_address(), *_times()]
    return found or [*_middleware(), *(_session() if asks else _owner())]


def _secrets() -> Iterator[CheckMessage]:
    try:
        problem = "" if settings.identity_secrets() else "CHASSIS_IDENTITY_SECRETS is not set: nothing can be signed"
    except ImproperlyConfigured as error:
        problem = str(error)
    if problem:
        hint = "make one by `python -c 'import secrets; print(secrets.token_hex(32))'`; both sides have the same list"
        yield Error(problem, hint=hint, id="chassis.E020")


def _address() -> Iterator[CheckMessage]:
    url = settings.identity_url()
    if not url:
        if IDENTITY in django_settings.MIDDLEWARE:
            yield Error(
                f"{IDENTITY} has nobody to ask: each request with a session would fail",
                hint="set CHASSIS_IDENTITY_URL to the side that has the accounts; at that side itself take the "
                "middleware away",
                id="chassis.E021",
            )
        return
    try:
        addresses.check_web("CHASSIS_IDENTITY_URL", url)
    except ImproperlyConfigured as error:
        yield Error(
            str(error),
            hint="name a web process of the side that has the accounts, and not the gateway, which closes this path",
            id="chassis.E021",
        )


def _times() -> Iterator[CheckMessage]:
    for name, read, least in (
        ("CHASSIS_IDENTITY_SECONDS", settings.identity_seconds, 0.0),
        ("CHASSIS_IDENTITY_TIMEOUT", settings.identity_timeout, 0.05),
    ):
        try:
            value = read()
        except (TypeError, ValueError):
            value = math.nan
        if not least <= value < math.inf:
            yield Error(f"{name} is no number of seconds from {least:g} upwards", id="chassis.E022")


def _middleware() -> Iterator[CheckMessage]:
    order = list(django_settings.MIDDLEWARE)
    if settings.identity_url() and IDENTITY in order:
        if AUTHENTICATION in order:
            yield Error(
                f"{AUTHENTICATION} takes the user from a table of this database, in place of {IDENTITY}",
                hint="take it away: the accounts are another side's",
                id="chassis.E023",
            )
        if FENCE in order[: order.index(IDENTITY)]:
            yield Error(
                f"{IDENTITY} stands behind {FENCE}: requests that write would wait for another process with a "
                "transaction open",
                hint="put it before the fence, and before AdmissionMiddleware",
                id="chassis.E023",
            )
    if not settings.identity_url() and FENCE not in order:
        yield Error(
            f"CHASSIS_IDENTITY_SECRETS is set, and nothing answers the other side, for {FENCE} is missing",
            hint="put it into MIDDLEWARE; or set CHASSIS_IDENTITY_URL if the accounts are another side's",
            id="chassis.E023",
        )


def _session() -> Iterator[CheckMessage]:
    """Where sessions are read only, what Django would write into them."""
    if IDENTITY not in django_settings.MIDDLEWARE or SESSIONS in django_settings.MIDDLEWARE:
        return
    if django_settings.CSRF_USE_SESSIONS:
        yield Warning(
            "CSRF_USE_SESSIONS is set, and sessions cannot be written here: a form fails for everybody to whom the "
            "side that has the accounts has not given a CSRF token yet",
            hint="keep CSRF tokens in a cookie on both sides, or give both sides one store of sessions",
            id="chassis.W025",
        )
    if apps.is_installed("django.contrib.messages") and getattr(django_settings, "MESSAGE_STORAGE", COOKIES) != COOKIES:
        yield Warning(
            "messages may be kept in the session, which cannot be written here",
            hint=f'MESSAGE_STORAGE = "{COOKIES}" on both sides, with the same SECRET_KEY',
            id="chassis.W025",
        )


def _owner() -> Iterator[CheckMessage]:
    names = settings.identity_attributes()
    if isinstance(names, str):
        yield Error("CHASSIS_IDENTITY_ATTRIBUTES is no list of texts", id="chassis.E024")
        return
    for name in names:
        if problem := _problem(name):
            yield Error(
                f"CHASSIS_IDENTITY_ATTRIBUTES names {name!r}, {problem}",
                hint="name fields and properties of the user model, or of the one row of a relation, as `profile.city`",
                id="chassis.E024",
            )
    named = getattr(django_settings, "CHASSIS_IDENTITY_TOKENS", "")
    if named:
        try:
            import_string(named)
        except ImportError as error:
            yield Error(f"CHASSIS_IDENTITY_TOKENS={named!r} cannot be imported: {error}", id="chassis.E024")


def _problem(name: object) -> str:
    if not isinstance(name, str) or name.startswith("_"):
        return "which is no public name"
    if name in TAKEN or hasattr(RemoteUser, name):
        return "which a user has at the other side anyhow"
    if not apps.is_installed("django.contrib.auth"):
        return "and django.contrib.auth is not installed"
    from django.contrib.auth import get_user_model

    relation, dot, field = name.partition(".")
    if not dot:
        return _problem_of(get_user_model(), name, "a user")
    return _problem_of_row(get_user_model(), relation, field)


def _problem_of_row(accounts: type[Model], relation: str, field: str) -> str:
    try:
        related = accounts._meta.get_field(relation)
    except FieldDoesNotExist:
        return f"and {relation} is no relation of a user"
    model = related.related_model
    if not (related.one_to_one or related.many_to_one) or not isinstance(model, type):
        return f"and {relation} is no relation to one row"
    return _problem_of(model, field, f"its {relation}")


def _problem_of(model: type[Model], name: str, whose: str) -> str:
    try:
        field = model._meta.get_field(name)
    except FieldDoesNotExist:
        is_property = isinstance(getattr(model, name, None), property)
        return "" if is_property else f"which is no field and no property of {whose}"
    return "which is a relation: its rows are of this side alone" if field.is_relation else ""
