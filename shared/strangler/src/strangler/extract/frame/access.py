"""Who a request is from: how the service knows it without rows of accounts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from strangler.extract.draft import Decision, Kind
from strangler.extract.frame.surroundings import Surroundings

JWT = "chassis.identity.tokens.TokenAuthentication"


class Way(StrEnum):
    """How."""

    ACCOUNTS = "accounts"  # they move with the capability
    TOKENS = "tokens"  # signed tokens, which say who it is
    SESSIONS = "sessions"  # the monolith's sessions
    KEYS = "keys"  # REST framework's tokens, which are rows of the monolith
    NONE = "none"  # nothing was found that asks


@dataclass(frozen=True, slots=True)
class Access:
    """The ways that the project has, and what a person has to decide about them."""

    ways: frozenset[Way]
    decisions: tuple[Decision, ...]

    @property
    def is_remote(self) -> bool:
        """Whether accounts are somewhere else."""
        return Way.ACCOUNTS not in self.ways


def access(here: Surroundings) -> Access:
    """Looks at REST framework's classes, middleware, and what the taken views name."""
    if here.owns_accounts:
        return Access(frozenset({Way.ACCOUNTS}), ())
    classes = [*_default_classes(here), *_named_classes(here)]
    ways = {way for one in classes if (way := _way(one))}
    middleware = here.described.setting("MIDDLEWARE")
    asks = here.mentions("login_required", "LoginRequiredMixin", "permission_required", "PermissionRequiredMixin")
    sessions = "AuthenticationMiddleware" in str(middleware.value if middleware else "")
    if sessions and (asks or (not classes and here.mentions("user"))):
        ways.add(Way.SESSIONS)
    found = frozenset(ways or {Way.NONE})
    return Access(found, tuple(_decisions(here, found, classes)))


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


def _decisions(here: Surroundings, ways: frozenset[Way], classes: list[str]) -> list[Decision]:
    rest, middleware = here.described.setting("REST_FRAMEWORK"), here.described.setting("MIDDLEWARE")
    place = (rest or middleware).place if rest or middleware else ""  # type: ignore[union-attr]
    found = []
    if Way.SESSIONS in ways:
        found.append(
            Decision(
                place,
                Kind.ACCESS,
                "requests say who they are by a session, whose rows and accounts are the monolith's",
                "decide how the service asks who a session belongs to; until then nobody is logged in there",
            )
        )
    if Way.KEYS in ways:
        found.append(
            Decision(
                place,
                Kind.ACCESS,
                "requests say who they are by a token of REST framework, whose rows are the monolith's",
                "decide how the service asks whom a token belongs to; until then it takes none",
            )
        )
    if Way.TOKENS in ways and JWT not in classes:
        foreign = ", ".join(one for one in classes if _way(one) is Way.TOKENS)
        found.append(
            Decision(
                place,
                Kind.ACCESS,
                f"{foreign} looks for the account of a token, and the service has no accounts",
                f"let the monolith sign tokens whose key it publishes, and the service verify them by {JWT}",
            )
        )
    return found
