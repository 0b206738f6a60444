"""Messages between capabilities: events tell what happened, commands ask for something, replies answer.

Each is a CloudEvents 1.0 event in JSON. It is encoded once, written into the outbox with the change that it belongs to,
and published from there unchanged.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection

from chassis.messages import contracts, outbox, traces
from chassis.process import tracing

CONTENT_TYPE = "application/cloudevents+json"
LONGEST_NAME_BYTES = 255  # bytes of a routing key

_REQUIRED = ("id", "type", "source", "subject", "time", "capability")


class MalformedError(ValueError):
    """The body is no message of ours; the text says why."""


@dataclass(frozen=True, slots=True)
class Message:
    """What handlers get and publishers make; ``subject`` is the aggregate's key, ``version`` its version.

    ``reply_to`` is the queue for the answer; ``correlation`` is the id by which the asker recognises the answer.
    """

    id: UUID
    type: str
    source: str
    subject: str
    time: datetime
    version: int
    data: Mapping[str, Any]
    capability: str
    reply_to: str = ""
    correlation: str = ""
    traceparent: str = ""

    def encode(self) -> bytes:
        """The JSON of the whole event. Raises ``TypeError`` or ``ValueError`` for data that JSON cannot hold."""
        body = {
            "specversion": "1.0",
            "id": str(self.id),
            "type": self.type,
            "source": self.source,
            "subject": self.subject,
            "time": self.time.isoformat(),
            "datacontenttype": "application/json",
            "capability": self.capability,
            "aggregateversion": self.version,
        }
        extensions = {"replyto": self.reply_to, "correlation": self.correlation, "traceparent": self.traceparent}
        body |= {name: value for name, value in extensions.items() if value}
        return _json(body | {"data": self.data})

    @classmethod
    def decode(cls, body: bytes) -> Message:
        """The message of a body; raises ``MalformedError``."""
        try:
            event = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise MalformedError(f"the body is no JSON: {error}") from error
        if not isinstance(event, dict) or event.get("specversion") != "1.0":
            raise MalformedError("the body is no CloudEvents 1.0 event")
        _check_attributes(event)
        try:
            number, time = UUID(event["id"]), datetime.fromisoformat(event["time"])
        except ValueError as error:
            raise MalformedError(f"the id is no UUID, or the time is none: {error}") from error
        return cls(
            id=number,
            type=event["type"],
            source=event["source"],
            subject=event["subject"],
            time=time if time.tzinfo else time.replace(tzinfo=UTC),
            version=event.get("aggregateversion", 0),
            data=event["data"],
            capability=event["capability"],
            reply_to=event.get("replyto", ""),
            correlation=event.get("correlation", ""),
            traceparent=event.get("traceparent", ""),
        )


def publish(*, capability: str, type: str, key: str, data: Mapping[str, Any], version: int = 0) -> UUID:
    """Tells every capability that listens; returns the event's id.

    Raises:
        RuntimeError: outside a transaction.
        ContractError: where contracts are checked and the data do not fit.
    """
    return _put("publish", "", _message(capability, type, key, data, version=version))


def command(
    *,
    to: str,
    type: str,
    key: str,
    data: Mapping[str, Any],
    capability: str,
    correlation: str = "",
    reply_to: str = "",
    id: UUID | None = None,
) -> UUID:
    """Asks the capability ``to``; returns the command's id. A command with the given ``id`` that still waits is not
    doubled.

    Raises as `publish` does.
    """
    message = _message(capability, type, key, data, id=id, reply_to=reply_to, correlation=correlation)
    return _put("command", to, message)


def reply(*, to_message: Message, type: str, data: Mapping[str, Any], capability: str) -> UUID:
    """Answers a message under its correlation, in the order of its key; returns the answer's id.

    Raises as `publish` does, and ``ValueError`` for a message that asks for no answer.
    """
    if not to_message.reply_to:
        raise ValueError(f"{to_message.type} {to_message.id} names no queue to reply to")
    message = _message(capability, type, to_message.subject, data, correlation=to_message.correlation)
    return _put("reply", to_message.reply_to, message)


def _message(
    capability: str,
    type: str,
    key: str,
    data: Mapping[str, Any],
    *,
    version: int = 0,
    id: UUID | None = None,
    reply_to: str = "",
    correlation: str = "",
) -> Message:
    return Message(
        id=id or uuid4(),
        type=type,
        source=f"/{capability}",
        subject=key,
        time=datetime.now(UTC),
        version=version,
        data=data,
        capability=capability,
        reply_to=reply_to,
        correlation=correlation,
    )


def _put(call: str, destination: str, message: Message) -> UUID:
    if not connection.in_atomic_block:
        raise RuntimeError(
            f"events.{call}({message.type!r}) outside a transaction: the message belongs to the change it tells of, "
            "so call it inside transaction.atomic()"
        )
    if call != "publish" and not destination:
        raise ValueError(f"events.{call}({message.type!r}) names no queue")
    for name in (message.type, destination):
        if len(name.encode()) > LONGEST_NAME_BYTES:
            raise ValueError(f"{name[:40]}… is longer than the {LONGEST_NAME_BYTES} bytes that a broker routes by")
    contracts.check(message.type, message.data)
    with traces.creating(message, destination):
        outbox.add(
            message_id=message.id,
            capability=message.capability,
            type=message.type,
            key=message.subject,
            destination=destination,
            body=replace(message, traceparent=tracing.current_traceparent()).encode(),
        )
    return message.id


def _json(value: Any) -> bytes:
    return json.dumps(value, cls=DjangoJSONEncoder, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _check_attributes(event: Mapping[str, Any]) -> None:
    for name in _REQUIRED:
        if not isinstance(event.get(name), str):
            raise MalformedError(f"the event has no {name}")
    for name in ("replyto", "correlation", "traceparent"):
        if not isinstance(event.get(name, ""), str):
            raise MalformedError(f"{name} is no text")
    version = event.get("aggregateversion", 0)
    if not isinstance(version, int) or isinstance(version, bool):
        raise MalformedError("aggregateversion is no whole number")
    if not isinstance(event.get("data"), dict):
        raise MalformedError("data is no JSON object")
