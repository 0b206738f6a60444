"""``manage.py relay``: publishes the outbox; as many at once as there is need for."""

from __future__ import annotations

import logging
import signal
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from prometheus_client import start_http_server

from chassis import broker, options
from chassis.relay import Relay
from chassis.timers import TIDYING, Timers, forget_published

logger = logging.getLogger("chassis.relay")


class Command(BaseCommand):
    """Runs until SIGTERM or SIGINT; what is on its way to the broker then is waited for."""

    help = "Publishes what is in the outbox, in the order of each key."

    def add_arguments(self, parser: CommandParser) -> None:
        """Adds --metrics-port and --metrics-address."""
        parser.add_argument("--metrics-port", type=int, help="serve Prometheus's metrics there; 0: any free port")
        parser.add_argument("--metrics-address", default="127.0.0.1", help="default: 127.0.0.1")

    def handle(self, *args: Any, **options_: Any) -> None:
        """Raises ImproperlyConfigured when no broker is named."""
        weakness = broker.shortcoming(options.broker_url())
        if weakness:
            logger.warning("broker_promises_less", extra={"reason": weakness})
        if options_["metrics_port"] is not None:
            server, _ = start_http_server(options_["metrics_port"], options_["metrics_address"])
            logger.info("metrics_served", extra={"port": server.server_port})
        relay = Relay()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: relay.stop())
        chores = Timers([(TIDYING, forget_published)])
        chores.start()
        relay.run()
        chores.stop()
