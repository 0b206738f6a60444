"""``manage.py sweep_references``: cleans up behind rows that another side has deleted."""

from __future__ import annotations

import signal
from typing import Any

from django.core.management.base import CommandParser

from chassis.management.refusing import RefusingCommand, refusal
from chassis.references import sweeping
from chassis.references.sweeper import Sweeper
from chassis.servers import health, probes


class Command(RefusingCommand):
    """Sweeps once, or until SIGTERM or SIGINT."""

    lasting = True
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
        try:
            probes.serve_if_asked()
        except (OSError, OverflowError) as error:
            raise refusal(f"METRICS_PORT: nothing can be served there: {error}") from error
        health.await_database(sweeper.stopping)
        sweeper.run()
