"""What the fence cannot do for a project under an ASGI server, by name; told by ``manage.py check`` and at the start.

Under ASGI each request has a thread of its own, in which the middleware and the synchronous views run. The ORM calls of
an asynchronous view run in that thread, too, while the middleware waits there: so they are in its transaction, and are
seen where they meet a fence. What a view does elsewhere is not: in other threads, or in tasks that outlive it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import ViewDoesNotExist
from django.core.handlers.asgi import ASGIHandler
from django.db import DEFAULT_DB_ALIAS, connections
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils.module_loading import import_string

logger = logging.getLogger("chassis.ownership.asynchronous")

ADMISSION = "chassis.process.admission.AdmissionMiddleware"
MOST_NAMED = 10


def look() -> Iterator[CheckMessage]:
    """What `views` and `surroundings` find."""
    yield from views()
    yield from surroundings()


def views() -> Iterator[CheckMessage]:
    """What does not hold for some asynchronous views, whatever server they run under."""
    found = dict(_asynchronous(get_resolver().url_patterns, "/"))
    atomic = {alias for alias in connections if connections.settings[alias].get("ATOMIC_REQUESTS")}
    if refused := [name for name, view in found.items() if atomic - _exempt(view)]:
        yield Error(
            "asynchronous views under ATOMIC_REQUESTS, each of whose requests Django answers with 500: "
            f"{_told(refused)}",
            hint="take ATOMIC_REQUESTS away: the middleware opens the transactions that a move needs",
            id="chassis.E010",
        )
    if loose := [name for name, view in found.items() if DEFAULT_DB_ALIAS in _exempt(view)]:
        yield Warning(
            "asynchronous views under non_atomic_requests: a request that meets a fence after its first write is "
            f"answered with 503, and a part of it is done: {_told(loose)}",
            hint="take non_atomic_requests away from views on a capability's routes (and ATOMIC_REQUESTS, for which "
            "Django demands it)",
            id="chassis.W011",
        )
    if found and ADMISSION in django_settings.MIDDLEWARE:
        yield Warning(
            f"asynchronous views keep one of the few places at work while they wait for anything: {_told(list(found))}",
            hint="let them wait for nothing but the database, or set CHASSIS_AT_WORK to as many as may wait at a time, "
            f"or take {ADMISSION} away",
            id="chassis.W012",
        )


def surroundings() -> Iterator[CheckMessage]:
    """What does not hold under the project's ``ASGI_APPLICATION``; nothing where it names none."""
    name = getattr(django_settings, "ASGI_APPLICATION", None)
    if not name:
        return
    try:
        application = import_string(name)
    except ImportError as error:
        yield Error(f"ASGI_APPLICATION {name} cannot be imported: {error}", id="chassis.E013")
        return
    # What the doorstep stands before is Django's own, too.
    if not isinstance(getattr(application, "__wrapped__", application), ASGIHandler):
        yield Warning(
            f"{name} is not Django's own ASGI application: what it answers beside Django (websockets, other programs) "
            "is neither held nor led to the owner of what it writes",
            hint="let nothing beside Django write moved tables: a refused write raises SF001 there, and is counted by "
            "chassis_refusals_unseen_total",
            id="chassis.W014",
        )
    if connections.settings[DEFAULT_DB_ALIAS].get("CONN_MAX_AGE") != 0 and not _has_pool():
        yield Warning(
            "CONN_MAX_AGE is set, but under ASGI each request has a thread, and so a database session, of its own",
            hint='set CONN_MAX_AGE to 0, or from Django 5.1 on OPTIONS["pool"], which lets requests share sessions',
            id="chassis.W015",
        )


@cache
def tell() -> None:
    """Logs what `views` finds, once in a process: a server does not run Django's checks."""
    for message in views():
        logger.error("asgi_not_covered", extra={"check": message.id, "detail": message.msg, "remedy": message.hint})


def _asynchronous(patterns: Sequence[Any], prefix: str) -> Iterator[tuple[str, Any]]:
    """Each asynchronous view, by its route."""
    for pattern in patterns:
        route = f"{prefix}{pattern.pattern}"
        if isinstance(pattern, URLResolver):
            yield from _asynchronous(pattern.url_patterns, route)
        elif isinstance(pattern, URLPattern):
            try:
                view = pattern.callback
            except (ImportError, ViewDoesNotExist):
                continue  # Django's own checks name it
            if iscoroutinefunction(view):
                yield route, view


def _exempt(view: Any) -> frozenset[str]:
    return frozenset(getattr(view, "_non_atomic_requests", ()))


def _told(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _has_pool() -> bool:
    return bool(connections.settings[DEFAULT_DB_ALIAS].get("OPTIONS", {}).get("pool"))
