from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from club.models import Person


class Command(BaseCommand):
    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")

    def handle(self, *_: Any, name: str, **__: Any) -> None:
        Person.objects.filter(name=name).delete()
