"""How many messages lie in the broker's queues."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Any

from prometheus_client import Gauge

from chassis import settings
from chassis.messages import broker
from chassis.messages.broker import BrokerLostError
from chassis.process.logs import Complaint

logger = logging.getLogger("chassis.messages.depths")

WAITING = Gauge(
    "chassis_queue_messages",
    "Messages in the capability's queue that no consumer has taken.",
    ["capability"],
    multiprocess_mode="mostrecent",
)
DEAD = Gauge(
    "chassis_dead_letters",
    "Messages that could not be handled and wait for a person.",
    ["capability"],
    multiprocess_mode="mostrecent",
)

_complaint = Complaint(logger, "queues_not_measured")


def measure() -> None:
    """Asks the broker; what it does not tell keeps the last value. Queues that are not declared yet are passed over."""
    try:
        connection = broker.connect(settings.broker_url())
    except BrokerLostError as error:
        _complaint.make(str(error))
        return
    try:
        for capability in settings.consumes():
            for gauge, queue in ((WAITING, capability), (DEAD, broker.dead(capability))):
                _show(connection, gauge.labels(capability), queue)
    except BrokerLostError as error:
        _complaint.make(str(error))
    else:
        _complaint.over()
    finally:
        broker.close(connection)


def _show(connection: Any, gauge: Gauge, queue: str) -> None:
    with broker.losing(connection):
        channel = connection.channel()
        # A refusal closes the channel: each queue has one of its own.
        with suppress(*connection.channel_errors):
            gauge.set(channel.queue_declare(queue=queue, passive=True).message_count)
            channel.close()
