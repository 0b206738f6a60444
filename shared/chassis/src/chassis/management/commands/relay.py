"""``manage.py relay``: publishes the outbox; as many may run at once as are needed."""

from __future__ import annotations

import logging
import os
import signal
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from chassis import settings
from chassis.messages import broker
from chassis.messages.relay import Relay
from chassis.servers import health, probes
from chassis.servers.timers import TIDYING_SECONDS, Timers, forget_published

logger = logging.getLogger("chassis.messages.relay")


class Command(BaseCommand):
    """Runs until SIGTERM or SIGINT; then waits for the messages that are on their way to the broker."""

    help = "Publishes what is in the outbox, in the order of each key."

    def add_arguments(self, parser: CommandParser) -> None:
        """Adds --metrics-port and --metrics-address."""
        there, at = os.environ.get("METRICS_PORT") or None, os.environ.get("METRICS_ADDRESS") or probes.LOOPBACK
        told = "serve /healthz, /readyz and /metrics there; 0: any free port; default: METRICS_PORT"
        parser.add_argument("--metrics-port", type=int, default=there, help=told)
        parser.add_argument("--metrics-address", default=at, help="default: METRICS_ADDRESS, or 127.0.0.1")

    def handle(self, *args: Any, **options_: Any) -> None:
        """Publishes; waits for a database that is away, or not migrated yet.

        Raises ImproperlyConfigured when no broker is named.
        """
        weakness = broker.shortcoming(settings.broker_url())
        if weakness:
            logger.warning("broker_promises_less", extra={"reason": weakness})
        relay = Relay()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: relay.stop())
        if options_["metrics_port"] is not None:
            probes.serve(options_["metrics_port"], options_["metrics_address"])
        health.await_database(relay.stopping)
        chores = Timers([(TIDYING_SECONDS, forget_published)])
        chores.start()
        relay.run()
        chores.stop()
