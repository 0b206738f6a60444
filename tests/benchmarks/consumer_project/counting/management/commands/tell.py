"""``manage.py tell EVENTS RATE``: publishes that many events, that many a second, each in a transaction of its own."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from chassis import events
from django.core.management.base import BaseCommand, CommandParser
from django.db import connection, transaction

from counting.models import Told

THREADS = 4
KEYS = 500


class Command(BaseCommand):
    """An open load: each thread keeps to its own timetable, and makes up for what it is behind."""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("events", type=int)
        parser.add_argument("rate", type=float)

    def handle(self, *args: Any, **options: Any) -> None:
        began = time.monotonic() + 0.2
        with ThreadPoolExecutor(THREADS) as threads:
            parts = [threads.submit(_tell, part, options["events"], options["rate"], began) for part in range(THREADS)]
            behind = max(part.result() for part in parts)
        self.stdout.write(f"{behind:.3f}")


def _tell(part: int, events_: int, rate: float, began: float) -> float:
    """The seconds by which the last one was late."""
    number = part
    for number in range(part, events_, THREADS):
        time.sleep(max(0.0, began + number / rate - time.monotonic()))
        with transaction.atomic():
            id = events.publish(
                capability="telling",
                type="benchmark.thing.done",
                key=str(number % KEYS),
                data={"note": f"thing {number} of a benchmark, of a usual size", "number": number},
                version=number,
            )
            Told.objects.create(message_id=id)
    connection.close()
    return time.monotonic() - (began + number / rate)
