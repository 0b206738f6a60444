"""``manage.py relay``: publishes the outbox; as many may run at once as are needed."""

from __future__ import annotations

import logging
import os
import signal
from typing import Any

from django.core.management.base import CommandParser

from chassis import settings
from chassis.management.refusing import RefusingCommand, port, refusal
from chassis.messages import broker
from chassis.messages.relay import Relay
from chassis.servers import health, probes
from chassis.servers.timers import TIDYING_SECONDS, Timers, forget_published

logger = logging.getLogger("chassis.messages.relay")


class Command(RefusingCommand):
    """Runs until SIGTERM or SIGINT; then waits for the messages that are on their way to the broker."""

    lasting = True
    help = "Publishes what is in the outbox, in the order of each key."

    def add_arguments(self, parser: CommandParser) -> None:
        """Adds --metrics-port and --metrics-address."""
        there, at = os.environ.get("METRICS_PORT") or None, os.environ.get("METRICS_ADDRESS") or probes.LOOPBACK
        told = "serve /healthz, /readyz and /metrics there; 0: any free port; default: METRICS_PORT"
        parser.add_argument("--metrics-port", type=port, default=there, help=told)
        parser.add_argument("--metrics-address", default=at, help="default: METRICS_ADDRESS, or 127.0.0.1")

    def handle(self, *args: Any, **options_: Any) -> None:
        """Publishes; waits for a database that is away, or not migrated yet.

        Raises CommandError when no broker is named, or where its metrics cannot be served.
        """
        weakness = broker.shortcoming(settings.broker_url())
        if weakness:
            logger.warning("broker_promises_less", extra={"reason": weakness})
        relay = Relay()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: relay.stop())
        if options_["metrics_port"] is not None:
            try:
                probes.serve(options_["metrics_port"], options_["metrics_address"])
            except OSError as error:
                place = f"{options_['metrics_address']}:{options_['metrics_port']}"
                raise refusal(f"nothing can be served at {place}: {error.strerror or error}") from error
        health.await_database(relay.stopping)
        chores = Timers([(TIDYING_SECONDS, forget_published)])
        chores.start()
        relay.run()
        chores.stop()
