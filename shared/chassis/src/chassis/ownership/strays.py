"""Requests that can never succeed here: they write what another side owns, from a route that the other side has not.

They cannot be bounced, and to run them again meets the same fence. So each is answered once and for all, logged and
counted, and noted in the database: ``strangler doctor`` names their routes. A route is named as the urlconf has it, and
never as the client has written it, so there are only so many.
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections
from django.http import HttpRequest
from prometheus_client import Counter

from chassis import agreement
from chassis.process import routes
from chassis.process.measuring import METHODS, OTHER, UNROUTED

logger = logging.getLogger("chassis.ownership.strays")

WRITES = Counter(
    "chassis_stray_writes_total",
    "Requests that wrote what another side owns, from a route that the other side has not.",
    ["capability", "method", "route"],
)
NOTED_EVERY_SECONDS = 1.0

Key = tuple[str, str, str]


class Notes:
    """What of one route has not been noted in the database yet."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[Key, int] = {}
        self._noted: dict[Key, float] = {}

    def add(self, key: Key) -> int:
        """Counts one request; returns how many are to be noted now, 0 where the last note is too young."""
        now = time.monotonic()
        with self._lock:
            self._waiting[key] = self._waiting.get(key, 0) + 1
            if now - self._noted.get(key, float("-inf")) < NOTED_EVERY_SECONDS:
                return 0
            self._noted[key] = now
            return self._waiting.pop(key)


_notes = Notes()


def tell(capability: str, request: HttpRequest, using: str = DEFAULT_DB_ALIAS) -> None:
    """Counts, logs and notes the request, which has met the capability's fence; not inside a transaction.

    If the database cannot take the note, the request is answered without it.
    """
    # Without a route a middleware has written, and no view was found.
    key = (capability, _method(request), routes.name(request.resolver_match) or UNROUTED)
    WRITES.labels(*key).inc()
    times = _notes.add(key)
    if times:
        _, method, route = key
        fields = {"capability": capability, "method": method, "route": route, "times": times}
        logger.error("write_from_a_staying_route", extra=fields)
        _note(key, times, using)


def _note(key: Key, times: int, using: str) -> None:
    with suppress(DatabaseError), connections[using].cursor() as cursor:
        cursor.execute(agreement.HAS_NOTE_STRAY)
        if cursor.fetchone()[0]:
            cursor.execute(agreement.NOTE_STRAY, [*key, times])


def _method(request: HttpRequest) -> str:
    return request.method if request.method in METHODS else OTHER
