"""The spans of a message, in the trace of the work that has written it.

``create TYPE`` is the row in the outbox. Its ``traceparent`` travels in the event, so ``send TYPE`` in the relay and
``process TYPE`` in the consumer are its children: one tree, whatever batches the relay makes.
"""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from functools import cache
from typing import TYPE_CHECKING

from django.core.exceptions import ImproperlyConfigured

from chassis import settings
from chassis.process import tracing

if TYPE_CHECKING:
    from chassis.messages.events import Message
    from chassis.messages.outbox import Waiting

# In an encoded event the envelope comes before the data, and no text in it can hold quotes that are not escaped.
_TRACEPARENT = re.compile(rb'"traceparent":"([0-9a-f-]{55})"')
ENVELOPE_BYTES = 4096


def creating(message: Message, destination: str) -> tracing.Span:
    """For ``with``: the message is written into the outbox."""
    if not tracing.is_on():
        return tracing.NO_SPAN
    told = _told("create", str(message.id), message.capability, destination or message.type)
    return tracing.span(f"create {message.type}", kind="producer", attributes=told)


def sending(row: Waiting) -> tracing.Span:
    """From the publication of a row until the broker's answer; none where the trace is not recorded."""
    found = _TRACEPARENT.search(row.body, 0, ENVELOPE_BYTES)
    parent = found[1].decode() if found else ""
    parsed = tracing.parse(parent)
    if parsed is None or not int(parsed[2], 16) & 1:
        return tracing.NO_SPAN
    told = _told("send", row.message_id, row.capability, row.destination or row.type)
    return tracing.span(f"send {row.type}", kind="producer", parent=parent, attributes=told)


def processing(message: Message, capability: str) -> AbstractContextManager[tracing.Span]:
    """For ``with``: the capability's handler runs, as often as it takes."""
    told = _told("process", str(message.id), capability, capability) if tracing.is_on() else None
    return tracing.entered(f"process {message.type}", message.traceparent, kind="consumer", attributes=told)


def _told(operation: str, number: str, capability: str, destination: str) -> dict[str, str]:
    return {
        "messaging.system": _system(),
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "messaging.destination.name": destination,
        "messaging.message.id": number,
        "strangler.capability": capability,
    }


@cache
def _system() -> str:
    try:
        return "rabbitmq" if settings.broker_url().startswith("amqp") else "redis"
    except (ImproperlyConfigured, OSError):
        return "rabbitmq"  # a process that only writes the outbox needs to know no broker
