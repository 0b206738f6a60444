"""The side that has the accounts tells another side whose a session or a token is.

It asks the project's own means: the session engine, the authentication backend that the session names, the hash that a
change of the password changes, the class that knows the tokens. So what ends a session here ends it there.

Note "a look leaves nothing": Django ends a session whose hash is wrong, and gives a new key to one whose hash was made
with a fallback of the ``SECRET_KEY``. The browser would never learn the new key from an answer to another side. So
Django looks at a copy of the session, and the session itself stays as it is until the browser comes here.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from importlib import import_module
from types import SimpleNamespace
from typing import Any

from django.apps import apps
from django.conf import settings as django_settings
from django.core.exceptions import ObjectDoesNotExist, SuspiciousOperation
from django.core.serializers.json import DjangoJSONEncoder
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.module_loading import import_string
from django.views.decorators.debug import sensitive_variables

from chassis import agreement, settings
from chassis.identity import remote
from chassis.ownership import sealing
from chassis.ownership.sealing import UnsealedError
from chassis.process.logs import Complaint

logger = logging.getLogger("chassis.identity.telling")

PATH = "/.strangler/identity"
ANSWER = f"{PATH} answer"  # what an answer is signed for, so that no question can be taken for one
LARGEST_BYTES = 16 * 1024
# Cookies of signed sessions are as long as a cookie can be. Anything else is no key of any store, and none is asked.
POSSIBLE = re.compile(r"[\x21-\x7e]{1,4096}")
NOTHING: Mapping[str, Any] = {"user": None, "session": {}}
# Of a session's content, what the user is known by here: the answer says who it is, and the hash is no one else's.
OWN = frozenset({"_auth_user_id", "_auth_user_backend", "_auth_user_hash"})

_left_out = Complaint(logger, "session_values_left_out")


class UnableError(Exception):
    """The project has no such thing, so nobody can be known by it; the text may be shown to the other side."""


@sensitive_variables()
def answer(request: HttpRequest) -> HttpResponse:
    """200 with what is known of a session's or a token's owner; 403 for everybody without the secret; 501 where the
    project has no sessions or no tokens; 404 where the accounts are elsewhere."""
    secrets = settings.identity_secrets()
    if not secrets or settings.identity_url():
        return _told(404, "This process tells nobody who somebody is.")
    if request.method != "POST":
        return _told(405, "Only another side asks here, by POST.")
    body = request.read(LARGEST_BYTES + 1)
    if len(body) > LARGEST_BYTES:
        return _told(413, "The body is too large.")
    try:
        asked = sealing.opened(secrets, body, request.headers.get(agreement.SIGNATURE, ""), PATH)
    except UnsealedError as error:
        logger.warning("identity_forged", extra={"reason": str(error)})
        return _told(403, f"Not accepted: {error}.")
    try:
        found = _found(asked["kind"], asked["key"])
    except UnableError as error:
        return _told(501, str(error))
    content = {**found, "nonce": asked["nonce"], "seconds": settings.identity_seconds()}
    told, signature = sealing.seal(secrets[0], content, ANSWER)
    return HttpResponse(
        told, content_type="application/json", headers={agreement.SIGNATURE: signature, "Cache-Control": "no-store"}
    )


@sensitive_variables()
def _found(kind: str, key: str) -> dict[str, Any]:
    if not POSSIBLE.fullmatch(key):
        return dict(NOTHING)
    return _of_session(key) if kind == "session" else _of_token(key)


@sensitive_variables()
def _of_session(key: str) -> dict[str, Any]:
    engine = import_module(django_settings.SESSION_ENGINE)
    if hasattr(engine.SessionStore, "get_model_class") and not apps.is_installed("django.contrib.sessions"):
        raise UnableError("django.contrib.sessions is not installed here, so no session can be looked at.")
    try:
        content = dict(engine.SessionStore(key).items())
    except (SuspiciousOperation, ValueError):
        content = {}  # the client has chosen the key, and some stores refuse what can be none of theirs
    return {"user": _user_of(content), "session": _plain(content)}


@sensitive_variables()
def _user_of(content: Mapping[str, Any]) -> dict[str, Any] | None:
    if not apps.is_installed("django.contrib.auth"):
        return None
    from django.contrib import auth

    # Django's function needs a request for its session only; see the note "a look leaves nothing".
    user = auth.get_user(SimpleNamespace(session=_Copy(content)))  # type: ignore[arg-type]
    return _described(user) if user.is_authenticated else None


class _Copy(dict[str, Any]):
    """A session's content, which Django may end or renew without any effect."""

    def flush(self) -> None:
        """Ends nothing."""

    def cycle_key(self) -> None:
        """Gives no key."""


@sensitive_variables()
def _of_token(key: str) -> dict[str, Any]:
    name = settings.identity_tokens()
    if not apps.is_installed("rest_framework"):
        raise UnableError("REST framework is not among the INSTALLED_APPS here, so no token can be looked at.")
    from rest_framework.exceptions import AuthenticationFailed

    if name.startswith("rest_framework.") and not apps.is_installed("rest_framework.authtoken"):
        raise UnableError(
            "rest_framework.authtoken is not installed here: name the class that knows the tokens by "
            "CHASSIS_IDENTITY_TOKENS."
        )
    try:
        user, _ = import_string(name)().authenticate_credentials(key)
    except AuthenticationFailed:
        return dict(NOTHING)
    return {"user": _described(user), "session": {}}


def _described(user: Any) -> dict[str, Any]:
    is_superuser = bool(getattr(user, "is_superuser", False))
    has_permissions = hasattr(user, "get_all_permissions") and not is_superuser  # who has all of them needs no list
    return {
        "id": remote.spelled(user.pk),
        "username": str(user.get_username()),
        "is_active": bool(getattr(user, "is_active", True)),
        "is_staff": bool(getattr(user, "is_staff", False)),
        "is_superuser": is_superuser,
        "permissions": sorted(user.get_all_permissions()) if has_permissions else [],
        "groups": sorted(user.groups.values_list("name", flat=True)) if hasattr(user, "groups") else [],
        "attributes": json.loads(json.dumps(_attributes(user), cls=DjangoJSONEncoder)),
    }


def _attributes(user: Any) -> dict[str, Any]:
    """By name what is told besides. Of a row that the user has none of, as of a profile, nothing is told: there the
    attribute is missing, too."""
    found: dict[str, Any] = {}
    for name in settings.identity_attributes():
        first, *rest = name.split(".")
        try:
            value = getattr(user, first)
        except ObjectDoesNotExist:
            continue
        for part in rest:
            value = None if value is None else getattr(value, part)
        found[name] = value
    return found


def _plain(content: Mapping[str, Any]) -> dict[str, Any]:
    """What JSON can take of a session; a project may pickle its sessions."""
    found = {name: value for name, value in content.items() if name not in OWN and _is_plain(value)}
    if missing := sorted(str(name) for name in content.keys() - found.keys() - OWN):
        _left_out.make(f"no JSON: {', '.join(missing)}")
    return found


def _is_plain(value: object) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def _told(status: int, detail: str) -> HttpResponse:
    return JsonResponse({"detail": detail}, status=status)
