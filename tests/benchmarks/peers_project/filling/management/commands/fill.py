"""``fill PEER EVENTS KEYS DESTINATION``: events with the data that the other project has, many in a transaction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import transaction

TOGETHER = 1000


class Command(BaseCommand):
    """Bodies of about the same size as those of the outbox they are compared with."""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("peer", choices=WAYS)
        parser.add_argument("events", type=int)
        parser.add_argument("keys", type=int)
        parser.add_argument("destination")

    def handle(self, *args: Any, **options: Any) -> None:
        write = WAYS[options["peer"]](options["destination"])
        for first in range(0, options["events"], TOGETHER):
            with transaction.atomic():
                for number in range(first, min(first + TOGETHER, options["events"])):
                    write(_event(number, str(number % options["keys"])))


def _event(number: int, key: str) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "type": "benchmark.thing.done",
        "source": "/benchmark",
        "subject": key,
        "time": "2026-01-01T00:00:00.000000+00:00",
        "datacontenttype": "application/json",
        "capability": "benchmark",
        "aggregateversion": 0,
        "data": {"number": number, "note": "x" * 60},
    }


def _published(destination: str) -> Callable[[dict[str, Any]], object]:
    from django_outbox_pattern.models import Published

    # Without the header the broker may keep the message in memory alone.
    return lambda event: Published(destination=destination, body=event, headers={"persistent": "true"}).save()


def _task(destination: str) -> Callable[[dict[str, Any]], object]:
    from sending import app

    return lambda event: app.send_task(destination, kwargs=event)


WAYS = {"django-outbox-pattern": _published, "django-celery-outbox": _task}
