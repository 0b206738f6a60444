"""``manage.py tell EVENTS RATE``: writes EVENTS events, RATE per second, each in a transaction of its own.

The rows are those that ``events.publish`` writes. They are made beforehand and written without the ORM, which would use
more of a processor than the work that is measured. The writer wakes the relays no more often than
``chassis.messages.outbox`` does.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import psycopg
from chassis.messages import outbox
from chassis.messages.events import Message
from django.core.management.base import BaseCommand, CommandParser
from django.db import connection

THREADS = 4
KEYS = 500
TYPE = "benchmark.thing.done"
AHEAD = 0.5  # seconds in which the threads get ready

# One statement, so one transaction and one round trip.
TELL = """
WITH told AS (INSERT INTO counting_told (message_id) VALUES (%(id)s))
INSERT INTO chassis_outbox (message_id, capability, type, key, destination, lane, body)
VALUES (%(id)s, 'telling', %(type)s, %(key)s, '', %(lane)s, %(body)s)
"""
WAKE = "SELECT pg_notify(%s, '')"


class Command(BaseCommand):
    """An open load: each thread keeps to its own timetable, and catches up when it is late."""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("events", type=int)
        parser.add_argument("rate", type=float)

    def handle(self, *args: Any, **options: Any) -> None:
        rows = [_row(number) for number in range(options["events"])]
        teller = _Teller(rows, options["rate"], time.monotonic() + AHEAD)
        with ThreadPoolExecutor(THREADS) as threads:
            for part in [threads.submit(teller.tell, part) for part in range(THREADS)]:
                part.result()


class _Teller:
    def __init__(self, rows: Sequence[dict[str, Any]], rate: float, began: float) -> None:
        self._rows, self._rate, self._began = rows, rate, began
        self._waking = threading.Lock()
        self._woken = 0.0

    def tell(self, part: int) -> None:
        """Every `THREADS`-th row."""
        parameters = connection.get_connection_params()
        parameters.pop("cursor_factory", None), parameters.pop("context", None)
        with psycopg.connect(**parameters, autocommit=True) as session:
            for number in range(part, len(self._rows), THREADS):
                time.sleep(max(0.0, self._began + number / self._rate - time.monotonic()))
                session.execute(TELL, self._rows[number], prepare=True)
                if self._may_wake():
                    session.execute(WAKE, (outbox.CHANNEL,), prepare=True)

    def _may_wake(self) -> bool:
        with self._waking:
            now = time.monotonic()
            if now - self._woken < outbox.WAKE_SECONDS:
                return False
            self._woken = now
            return True


def _row(number: int) -> dict[str, Any]:
    key = str(number % KEYS)
    message = Message(
        id=uuid4(),
        type=TYPE,
        source="/telling",
        subject=key,
        time=datetime.now(UTC),
        version=number,
        data={"note": f"thing {number} of a benchmark, of a usual size", "number": number},
        capability="telling",
    )
    lane = outbox.lane_of("telling", key)
    return {"id": message.id, "type": TYPE, "key": key, "lane": lane, "body": message.encode()}
