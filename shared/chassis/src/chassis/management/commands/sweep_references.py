"""``manage.py sweep_references``: cleans up behind rows that another side has deleted."""

from __future__ import annotations

import signal
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from chassis.references import sweeping
from chassis.references.sweeper import Sweeper
from chassis.servers import health, probes


class Command(BaseCommand):
    """Sweeps once, or until SIGTERM or SIGINT."""

    help = "Applies on_delete to rows whose parent was deleted by the side that owns it."

    def add_arguments(self, parser: CommandParser) -> None:
        """Adds --once."""
        parser.add_argument("--once", action="store_true", help="sweep what is queued now, then end")

    def handle(self, *args: Any, **options: Any) -> None:
        """Waits for a database that is away, or not migrated yet; with --once it raises the database's errors
        instead."""
        if options["once"]:
            self.stdout.write(f"{sweeping.sweep()} swept")
            return
        sweeper = Sweeper()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: sweeper.stop())
        probes.serve_if_asked()
        health.await_database(sweeper.stopping)
        sweeper.run()
