"""Writes events as a service would, many in a transaction."""

from __future__ import annotations

from typing import Any

from chassis.messages import events
from django.core.management.base import BaseCommand, CommandParser
from django.db import transaction

TOGETHER = 1000


class Command(BaseCommand):
    """Bodies of about 400 bytes."""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("events", type=int)
        parser.add_argument("keys", type=int)
        parser.add_argument("type")

    def handle(self, *args: Any, **options: Any) -> None:
        for first in range(0, options["events"], TOGETHER):
            with transaction.atomic():
                for number in range(first, min(first + TOGETHER, options["events"])):
                    data = {"number": number, "note": "x" * 60}
                    key = str(number % options["keys"])
                    events.publish(capability="benchmark", type=options["type"], key=key, data=data)
