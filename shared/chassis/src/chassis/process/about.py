"""What the present piece of work is about: fields that each of its log lines has.

A request, a message, a task or a turn of a loop is a piece of work. Whoever learns something of it (the fence its
capability, the token its user) notes it once.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from chassis import environment

PSEUDONYM_CHARACTERS = 16

logger = logging.getLogger("chassis.process.logs")
_present: ContextVar[dict[str, Any] | None] = ContextVar("about", default=None)


def present() -> Mapping[str, Any]:
    """The fields that have been noted of the present work; none outside of any."""
    return _present.get() or {}


@contextmanager
def about(**fields: Any) -> Iterator[dict[str, Any]]:
    """What is logged inside has these fields, and those of the work around it. Fields noted later are added to what is
    handed out, which may be read after the end."""
    noted = {**present(), **fields}
    token = _present.set(noted)
    try:
        yield noted
    finally:
        _present.reset(token)


def note(**fields: Any) -> None:
    """Adds to what is known of the present work; does nothing outside of any."""
    noted = _present.get()
    if noted is not None:
        noted.update(fields)


def note_user(pk: object) -> None:
    """Notes whose work it is, by `pseudonym`."""
    if _present.get() is not None:
        note(user=pseudonym(pk))


def pseudonym(pk: object) -> str:
    """What stands for a user in logs: the start of a keyed hash of the primary key, 16 hexadecimal digits.

    The key is derived from ``LOG_KEY``, so that all processes that have the same one call a user the same. Without
    ``LOG_KEY`` it is derived from Django's ``SECRET_KEY``: then a user has another pseudonym wherever that is another.
    """
    return hmac.new(_key(), str(pk).encode(), hashlib.sha256).hexdigest()[:PSEUDONYM_CHARACTERS]


@cache
def _key() -> bytes:
    try:
        secret = environment.text("LOG_KEY")
    except ImproperlyConfigured as error:
        # Other pseudonyms are no reason to answer no requests.
        logger.warning("log_key_unreadable", extra={"reason": str(error)})
        secret = ""
    return hmac.new((secret or str(settings.SECRET_KEY)).encode(), b"chassis.process.about user", "sha256").digest()
