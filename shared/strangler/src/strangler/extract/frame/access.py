"""Who a request is from: how the service knows it without rows of accounts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from strangler.extract.draft import Decision, Kind
from strangler.extract.frame.surroundings import Surroundings

JWT = "chassis.identity.tokens.TokenAuthentication"
# What asks the side that has the accounts (docs/reference/chassis-settings.md).
IDENTITY = "chassis.identity.sessions.IdentityMiddleware"
REMOTE_TOKENS = "chassis.identity.authtokens.RemoteTokenAuthentication"
SESSION = "rest_framework.authentication.SessionAuthentication"
# Decorators that the project's URLs put around a view.
_GUARDS = "django.contrib.auth.decorators."
# What a user of another side has (docs/reference/chassis-settings.md), or may only have where its row is.
_HAS = frozenset(
    {"pk", "id", "username", "get_username", "is_authenticated", "is_anonymous", "is_active", "is_staff"}
    | {"is_superuser", "groups", "has_perm", "has_perms", "has_module_perms", "get_all_permissions", "user_permissions"}
    | {"save", "delete", "refresh_from_db", "objects", "DoesNotExist", "_meta", "_wrapped", "check_password"}
    | {"set_password", "set_unusable_password", "has_usable_password"}
)
_NAMES = ("get_full_name", "get_short_name")
_FULL_NAME = ("first_name", "last_name")
_IN_CODE = re.compile(r"""\brequest(?:["']\])?\.user\.(\w+)(?:\.(\w+))?(\s*\()?""")
_LATER_IN_CODE = re.compile(r"(?<![\w.])user\.(\w+)\.(\w+)(\s*\()?")
_IN_TEMPLATE = re.compile(r"(?<![\w.])(?:request\.)?user\.(\w+)(?:\.(\w+))?()")
_TAG = re.compile(r"\{[{%].*?[}%]\}", re.DOTALL)
NOBODY = "chassis.identity.remote.nobody"


class Way(StrEnum):
    """How."""

    ACCOUNTS = "accounts"  # they move with the capability
    TOKENS = "tokens"  # signed tokens, which say who it is
    SESSIONS = "sessions"  # the monolith's sessions
    KEYS = "keys"  # REST framework's tokens, which are rows of the monolith
    NONE = "none"  # nothing was found that asks


@dataclass(frozen=True, slots=True)
class Access:
    """The ways that the project has, and what a person has to decide about them. ``asks``: the service asks the side
    that has the accounts whose a session or a token is."""

    ways: frozenset[Way]
    decisions: tuple[Decision, ...]
    asks: bool = False

    @property
    def is_remote(self) -> bool:
        """Whether accounts are somewhere else."""
        return Way.ACCOUNTS not in self.ways

    @property
    def classes(self) -> list[str]:
        """REST framework's classes of the service."""
        found = [JWT] if Way.TOKENS in self.ways else []
        if self.asks:
            found += [REMOTE_TOKENS] if Way.KEYS in self.ways else []
            found += [SESSION] if Way.SESSIONS in self.ways else []
        return found


def access(here: Surroundings) -> Access:
    """Looks at REST framework's classes, middleware, and what the taken views name."""
    if here.owns_accounts:
        return Access(frozenset({Way.ACCOUNTS}), ())
    classes = [*_default_classes(here), *_named_classes(here)]
    ways = {way for one in classes if (way := _way(one))}
    middleware = here.described.setting("MIDDLEWARE")
    asks = here.mentions("login_required", "LoginRequiredMixin", "permission_required", "PermissionRequiredMixin")
    asks = asks or is_guarded(here)
    sessions = "AuthenticationMiddleware" in str(middleware.value if middleware else "")
    if sessions and (asks or (not classes and here.mentions("user"))):
        ways.add(Way.SESSIONS)
    found = frozenset(ways or {Way.NONE})
    asks = not found.isdisjoint({Way.SESSIONS, Way.KEYS}) and "chassis.identity.sessions" in here.described.provides
    return Access(found, tuple(_decisions(here, found, classes, asks=asks)), asks)


def is_guarded(here: Surroundings) -> bool:
    """Whether the project's URLs ask who it is before a view of the service answers."""
    return any(each.startswith(_GUARDS) for one in here.mounted for each in one.wrapped)


def _of_attributes(here: Surroundings, place: str, *, asks: bool) -> Iterator[Decision]:
    if asks and (attributes := _attributes(here)):
        yield Decision(
            place,
            Kind.ACCESS,
            f"the taken code and its pages read of the caller what a user of another side has only if it is told: "
            f"{', '.join(attributes)}",
            f"write into the monolith's settings, without what is no field or property of a user or of its one row: "
            f"CHASSIS_IDENTITY_ATTRIBUTES = {json.dumps([*_told(here), *attributes])}",
        )


def _told(here: Surroundings) -> list[str]:
    setting = here.described.setting("CHASSIS_IDENTITY_ATTRIBUTES")
    return list(setting.value) if setting and isinstance(setting.value, list) else []


def _attributes(here: Surroundings) -> list[str]:
    """What is read of the request's user that the monolith does not tell yet, as `email` or `profile.city`."""
    found: set[str] = set()
    for path, text in here.texts.items():
        if path.parts[0] == here.package and len(path.parts) > 1 and path.name == "settings.py":
            continue
        matches = [*_IN_CODE.findall(text), *(_LATER_IN_CODE.findall(text) if "request.user" in text else ())]
        found |= {name for match in matches for name in _attribute(*match)}
    for path, text in here.source.files.items():
        if path.suffix in (".html", ".htm", ".txt", ".jinja", ".jinja2"):
            matches = [match for tag in _TAG.findall(text) for match in _IN_TEMPLATE.findall(tag)]
            found |= {name for match in matches for name in _attribute(*match)}
    return sorted(found - {*_told(here)})


def _attribute(first: str, second: str, called: str) -> Iterator[str]:
    if first in _NAMES:
        yield from _FULL_NAME
    elif first not in _HAS and not called:
        yield f"{first}.{second}" if second else first


def _default_classes(here: Surroundings) -> list[str]:
    rest = here.described.setting("REST_FRAMEWORK")
    if not here.imports_of("rest_framework"):
        return []
    value: Any = rest.value if rest and isinstance(rest.value, dict) else {}
    found = value.get("DEFAULT_AUTHENTICATION_CLASSES")
    if isinstance(found, dict):
        found = found.get("$tuple")
    if found is None:
        # REST framework's own.
        return ["rest_framework.authentication.SessionAuthentication"]
    return [one for one in found if isinstance(one, str)]


def _named_classes(here: Surroundings) -> list[str]:
    return sorted(one for one in here.imports if one.endswith("Authentication"))


def _way(name: str) -> Way | None:
    if name == JWT or "jwt" in name.lower():
        return Way.TOKENS
    if name.endswith((".SessionAuthentication", ".BasicAuthentication")):
        return Way.SESSIONS
    if name.endswith("TokenAuthentication"):
        return Way.KEYS
    return None


def _decisions(here: Surroundings, ways: frozenset[Way], classes: list[str], *, asks: bool) -> Iterator[Decision]:
    place = next((one.place for name in ("REST_FRAMEWORK", "MIDDLEWARE") if (one := here.described.setting(name))), "")
    said = {Way.SESSIONS: "a session", Way.KEYS: "a token of REST framework"}
    rows = [name for way, name in said.items() if way in ways]
    if rows and asks:
        yield Decision(
            place,
            Kind.ACCESS,
            f"requests say who they are by {' or '.join(rows)}, whose rows are the monolith's: the service asks it",
            f"give the service {here.asked_at} (a web process of the monolith) and IDENTITY_SECRET, and the monolith "
            "the same secret in CHASSIS_IDENTITY_SECRETS; the local stack gives both their variables",
        )
    elif rows:
        yield Decision(
            place,
            Kind.ACCESS,
            f"requests say who they are by {' or '.join(rows)}, whose rows are the monolith's",
            "decide how the service asks whose it is; until then nobody is known there",
        )
    if Way.TOKENS in ways:
        yield Decision(
            place,
            Kind.ACCESS,
            "a token is believed in the service until it ends, also when its account is deleted or closed before: no "
            "account is looked for there",
            "bear that for as long as a token lives, or let the owner of the accounts send a message, and refuse",
        )
    yield from _of_attributes(here, place, asks=asks)
    if Way.TOKENS in ways and JWT not in classes:
        foreign = ", ".join(one for one in classes if _way(one) is Way.TOKENS)
        yield Decision(
            place,
            Kind.ACCESS,
            f"{foreign} looks for the account of a token, and the service has no accounts",
            f"let the monolith sign tokens whose keys it publishes: the service verifies them by {JWT}",
        )
