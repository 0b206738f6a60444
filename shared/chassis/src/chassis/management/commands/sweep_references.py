"""``manage.py sweep_references``: cleans up behind rows that another side has deleted."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import OperationalError, connection

from chassis import references

PATROL = 5.0  # seconds between two looks where no notification came


class Command(BaseCommand):
    """Sweeps once, or for as long as it runs."""

    help = "Applies on_delete to rows whose parent was deleted by the side that owns it."

    def add_arguments(self, parser: CommandParser) -> None:
        """Adds --once."""
        parser.add_argument("--once", action="store_true", help="sweep what is queued now, then end")

    def handle(self, *args: Any, **options: Any) -> None:
        """Runs until it is stopped; a lost server is waited for."""
        if options["once"]:
            self.stdout.write(f"{references.sweep()} swept")
            return
        while True:
            try:
                self._patrol()
            except OperationalError as error:
                self.stderr.write(f"database away: {error}")
                connection.close()

    def _patrol(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"LISTEN {references.CHANNEL}")
        while True:
            references.sweep()
            for _ in connection.connection.notifies(timeout=PATROL, stop_after=1):
                pass
