"""Messages that could not be handled: laid aside with the reason, to be looked at, and sent again or thrown away."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from chassis import settings
from chassis.extras import missing
from chassis.messages import broker
from chassis.messages.broker import BrokerLostError
from chassis.messages.events import CONTENT_TYPE, MalformedError, Message

try:
    from amqp.basic_message import Message as AmqpMessage  # type: ignore[import-untyped]
    from amqp.exceptions import MessageNacked  # type: ignore[import-untyped]
    from kombu.messaging import Producer
except ImportError as error:
    raise missing("messages", error) from error

ERROR, TRIES, TYPE, KEY, FAILED_AT = "x-error", "x-tries", "x-type", "x-key", "x-failed-at"
OWN = (ERROR, TRIES, TYPE, KEY, FAILED_AT)
FAULT_CHARACTERS = 500  # characters of the reason: a header must fit a frame
CONFIRM_SECONDS = 10.0


def bury(
    capability: str, body: bytes, headers: Mapping[str, Any], *, fault: str, tries: int, message: Message | None
) -> None:
    """Publishes a message to the capability's dead letters. Where the broker confirms, it is there when this returns.

    Raises:
        BrokerLostError: when the message is not known to be there.
    """
    reason = {
        ERROR: fault[:FAULT_CHARACTERS],
        TRIES: tries,
        TYPE: message.type if message else "",
        KEY: message.subject if message else "",
        FAILED_AT: datetime.now(UTC).isoformat(timespec="milliseconds"),
    }
    # One connection per letter: letters are few, and no other thread touches the connection.
    with _reach(capability) as connection:
        _publish(connection, broker.dead(capability), body, {**headers, **reason})


def body_of(received: Any) -> bytes:
    """The body as it was published; transports hand it out as text where the message says that it is text."""
    body = received.body
    return body.encode() if isinstance(body, str) else bytes(body)


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter, as long as its box is open; ``message`` is None where the body cannot be understood."""

    tag: Any
    body: bytes
    headers: Mapping[str, Any]
    message: Message | None

    @property
    def fault(self) -> str:
        """Why it lies here, in the words of the consumer, or else of the broker."""
        return str(self.headers.get(ERROR) or self.headers.get("x-first-death-reason") or "")


class Box:
    """A capability's dead letters, taken out to be looked at. Letters that are neither replayed nor purged go back.

    Nobody else sees them meanwhile.
    """

    def __init__(self, capability: str) -> None:
        self._capability = capability

    def __enter__(self) -> Box:
        self._held = ExitStack()
        self._connection = self._held.enter_context(_reach(self._capability))
        self._channel: Any = self._connection.channel()
        self._held.callback(self._channel.close)
        return self

    def __exit__(self, *raised: Any) -> bool | None:
        return self._held.__exit__(*raised)

    def letters(self) -> Sequence[Letter]:
        """All letters that lie here now, the oldest first; letters that come meanwhile are not among them."""
        found = []
        while (message := self._channel.basic_get(broker.dead(self._capability), no_ack=False)) is not None:
            body = body_of(message)
            found.append(Letter(message.delivery_tag, body, message.headers or {}, _understood(body)))
        return found

    def replay(self, letter: Letter, *, to: str) -> None:
        """Publishes the letter to a capability's queue, and takes it out of the box only when it is known to be in that
        queue.

        Raises:
            BrokerLostError: when that is not known; the letter stays.
        """
        kept = {name: value for name, value in letter.headers.items() if not _is_of_its_death(name)}
        _publish(self._connection, to, letter.body, kept)
        self._channel.basic_ack(letter.tag)

    def purge(self, letter: Letter) -> None:
        """Throws the letter away."""
        self._channel.basic_ack(letter.tag)


@contextmanager
def _reach(capability: str) -> Iterator[Any]:
    """A connection for the block inside; every error of the broker there is a ``BrokerLostError``."""
    connection: Any = broker.connect(settings.broker_url())
    try:
        with broker.losing(connection):
            with connection.channel() as channel:
                broker.declare(channel, {capability: ()})
            yield connection
    finally:
        with suppress(*connection.connection_errors, *connection.channel_errors, OSError):
            connection.close()


def _publish(connection: Any, queue: str, body: bytes, headers: Mapping[str, Any]) -> None:
    kind = {"content_type": CONTENT_TYPE, "content_encoding": "utf-8", "delivery_mode": 2}
    with connection.channel() as channel:
        if not broker.confirms(settings.broker_url()):
            producer: Any = Producer(channel)  # type: ignore[no-untyped-call]
            producer.publish(body, exchange="", routing_key=queue, headers=dict(headers), **kind)
            return
        message = AmqpMessage(body, application_headers=dict(headers), **kind)
        try:
            # Where there is no such queue, the broker returns the message, and py-amqp raises that as an error of the
            # channel.
            channel.basic_publish_confirm(message, "", queue, mandatory=True, confirm_timeout=CONFIRM_SECONDS)
        except MessageNacked as error:
            raise BrokerLostError(f"{queue} does not take it now") from error


def _understood(body: bytes) -> Message | None:
    try:
        return Message.decode(body)
    except MalformedError:
        return None


def _is_of_its_death(header: str) -> bool:
    return (
        header in OWN
        or header in {"x-death", "x-delivery-count"}
        or header.startswith(("x-first-death", "x-last-death"))
    )
