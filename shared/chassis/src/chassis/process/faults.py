"""Faults that a presenter has switched on with ``strangler fault``; see docs/how-to/faults.md.

A fault is a row of this process's database. It is read only where the environment says ``STRANGLER_FAULTS=1``, which
the local stack, compose and the overlay `local` say and nobody else should. Nothing is asked of the database without
it. A row counts as long as the database's server runs that ran when it was written.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Mapping
from typing import Any

from django.db import DEFAULT_DB_ALIAS, Error, connections

LOOK_SECONDS = 0.5
# So that a fault of an odd number does not take a process out for good.
LONGEST_SECONDS = 30.0

HAS = "SELECT to_regclass('strangler_faults.fault') IS NOT NULL"
PRESENT = "SELECT name, settings::text FROM strangler_faults.fault WHERE server_started = pg_postmaster_start_time()"

Present = Mapping[str, Mapping[str, Any]]


class InjectedError(Exception):
    """The fault that is on, and nothing else, is why this was raised."""


_lock = threading.Lock()
_known: Present = {}
_looked = float("-inf")
_count = 0


def allowed() -> bool:
    """Whether this process obeys faults at all."""
    return os.environ.get("STRANGLER_FAULTS") == "1"


def present() -> Present:
    """By name, the settings of the faults that are on, as they were at some moment of the last half second."""
    global _known, _looked  # noqa: PLW0603  one memory per process
    if not allowed():
        return {}
    with _lock:
        if time.monotonic() - _looked < LOOK_SECONDS:
            return _known
        _looked = time.monotonic()
    found = _look()
    with _lock:
        _known = found
    return found


def slow(call: str) -> None:
    """Put it where the project calls ``call`` (a payment provider, for example): waits while ``slow-call`` is on for
    it. `strangler fault list` offers what ``[faults] calls`` in strangler.toml names."""
    fault = present().get("slow-call")
    if fault is not None and fault.get("call") == call:
        time.sleep(min(float(fault.get("milliseconds", 0)) / 1000, LONGEST_SECONDS))


def raise_for(capability: str, data: object) -> None:
    """Raises InjectedError while ``raising-handler`` is on for the capability and for what stands in ``data``."""
    fault = present().get("raising-handler")
    if fault is None or fault.get("capability") != capability:
        return
    field, value = str(fault.get("field")), str(fault.get("value"))
    if _holds(data, field, value):
        raise InjectedError(f"the fault raising-handler is on for {field}={value}")


def fails() -> bool:
    """Whether the present request is one of the share that ``errors`` lets fail: evenly, and not by chance."""
    global _count  # noqa: PLW0603
    fault = present().get("errors")
    if fault is None:
        return False
    percent = float(fault.get("percent", 0))
    with _lock:
        _count += 1
        return int(_count * percent / 100) > int((_count - 1) * percent / 100)


def is_full(queue: str) -> bool:
    """Whether ``full-queue`` is on for the queue."""
    fault = present().get("full-queue")
    return fault is not None and fault.get("capability") == queue


def forget() -> None:
    """The next question looks anew: for tests."""
    global _known, _looked, _count
    _known, _looked, _count = {}, float("-inf"), 0


def _look() -> Present:
    try:
        connection = connections[DEFAULT_DB_ALIAS]
        connection.ensure_connection()
        # No query of the application: a project that counts its queries finds no other number.
        with connection.wrap_database_errors, connection.connection.cursor() as cursor:
            cursor.execute(HAS)
            if not cursor.fetchone()[0]:
                return {}
            cursor.execute(PRESENT)
            return {name: json.loads(settings) for name, settings in cursor.fetchall()}
    except Error:
        return {}  # who asks next for what it needs says what is wrong


def _holds(data: object, field: str, value: str) -> bool:
    if isinstance(data, Mapping):
        return str(data.get(field)) == value or any(_holds(each, field, value) for each in data.values())
    return isinstance(data, (list, tuple)) and any(_holds(each, field, value) for each in data)
