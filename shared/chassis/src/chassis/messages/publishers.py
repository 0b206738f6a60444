"""Hands messages to the broker without waiting for each.

Note "many frames, one write": py-amqp writes each message to the socket by itself, and each write wakes the broker. A
relay has many messages at a time. So the frames of its messages are collected, and written together.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from chassis.extras import missing
from chassis.messages import broker, declarations
from chassis.messages.broker import BrokerLostError, losing
from chassis.messages.events import CONTENT_TYPE

try:
    from amqp import spec  # type: ignore[import-untyped]
    from amqp.basic_message import Message as AmqpMessage  # type: ignore[import-untyped]
    from amqp.exceptions import RecoverableConnectionError  # type: ignore[import-untyped]
    from amqp.method_framing import frame_writer  # type: ignore[import-untyped]
    from amqp.serialization import dumps  # type: ignore[import-untyped]
    from kombu.messaging import Producer
except ImportError as error:
    raise missing("messages", error) from error

WINDOW_MESSAGES = 500  # the most messages that may be on their way without a confirm
CONFIRM_SECONDS = 30.0  # without any progress, after which the connection counts as lost
GOODBYE_SECONDS = 1.0
TOGETHER_BYTES = 64 * 1024  # of frames that are collected at most
METHOD_FRAME = 1
ANY_ID = "00000000-0000-0000-0000-000000000000"
# Messages differ in their ids alone, all of one length, and the id is the last of the properties.
PROPERTIES = AmqpMessage("", content_type=CONTENT_TYPE, delivery_mode=2, message_id=ANY_ID)._serialize_properties()


class Fate(Enum):
    """What became of a message."""

    CONFIRMED = "confirmed"
    UNROUTABLE = "unroutable"  # no queue takes it
    REFUSED = "refused"  # a queue does not take it now


@dataclass(frozen=True, slots=True)
class Parcel:
    """A message on its way; ``exchange`` is empty for a message that goes straight to the queue ``routing_key``."""

    number: int
    message_id: str
    type: str
    exchange: str
    routing_key: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a parcel, and why, in the broker's words."""

    parcel: Parcel
    fate: Fate
    reason: str = ""


class Publisher(Protocol):
    """Hands parcels to the broker without waiting for each. `send` and `await_confirms` raise ``BrokerLostError``.

    What was sent is on its way when `await_confirms` is called, or before.
    """

    refused: Mapping[str, str]  # by name: why something could not be declared

    @property
    def blocked(self) -> bool:
        """Whether the broker has asked that nothing be sent now."""
        ...

    def send(self, parcel: Parcel) -> None: ...

    def await_confirms(self, wait: float) -> None:
        """Reads what the broker has decided, and waits at most ``wait`` seconds for it. Call it when idle, too."""
        ...

    def outcomes(self) -> list[Outcome]:
        """The outcomes that were read since the last call. Raises nothing, even where the connection is lost."""
        ...

    def close(self) -> None:
        """Raises nothing."""
        ...


def open_publisher(url: str, consumes: Mapping[str, Iterable[str]]) -> Publisher:
    """Declares what is consumed here; returns a connected publisher. Raises ``BrokerLostError``.

    The publisher does without the things that the broker refuses to declare. Without the exchange, events are refused
    and commands go.
    """
    connection = broker.connect(url)
    try:
        with losing(connection):
            refused = declarations.declare(connection, consumes)
            if broker.confirms(url):
                return ConfirmingPublisher(connection, refused)
            return PlainPublisher(connection, refused)
    except BrokerLostError:
        broker.close(connection)
        raise


class _Content:
    """What py-amqp's writer of frames wants to know of a message, without its general encoding of properties."""

    __slots__ = ("_message_id", "body")

    def __init__(self, parcel: Parcel) -> None:
        self.body = parcel.body
        self._message_id = parcel.message_id

    def _serialize_properties(self) -> bytes:
        return bytes(PROPERTIES[: -len(ANY_ID)]) + self._message_id.encode()


class _Together:
    """Takes the place of a transport for a writer of frames: see the note "many frames, one write"."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._frames = bytearray()

    def write(self, frame: Any) -> None:
        self._frames += frame
        if len(self._frames) >= TOGETHER_BYTES:
            self.flush()

    def flush(self) -> None:
        """Writes what was collected; raises the transport's errors."""
        if self._frames:
            frames, self._frames = self._frames, bytearray()
            self._transport.write(frames)


class ConfirmingPublisher:
    """Pipelined: confirms may come late and are matched by tag."""

    def __init__(self, connection: Any, refused: Mapping[str, str]) -> None:
        self._connection = connection
        self.refused = refused
        self._amqp: Any = connection.connection
        self._channel: Any = connection.default_channel
        self._channel.confirm_select()
        self._together = _Together(self._amqp.transport)
        self._write = frame_writer(self._amqp, self._together)
        self._addresses: dict[tuple[str, str], Any] = {}
        self._channel.events["basic_return"].add(self._on_return)
        self._channel.events["basic_ack"].add(self._on_ack)
        self._channel.events["basic_nack"].add(self._on_nack)
        self._amqp.on_blocked = lambda reason: self._block(True)
        self._amqp.on_unblocked = lambda: self._block(False)
        self._blocked = False
        self._tag = 0
        self._unconfirmed: OrderedDict[int, Parcel] = OrderedDict()
        self._returned: dict[str, str] = {}
        self._settled: list[Outcome] = []
        self._progress = time.monotonic()

    @property
    def blocked(self) -> bool:
        return self._blocked

    def send(self, parcel: Parcel) -> None:
        if parcel.exchange in self.refused:
            self._settled.append(Outcome(parcel, Fate.REFUSED, self.refused[parcel.exchange]))
            return
        if not self._unconfirmed:
            self._progress = time.monotonic()
        # The tag is noted before the message is sent: its confirm may be read while it is being written.
        self._tag += 1
        self._unconfirmed[self._tag] = parcel
        with losing(self._connection):
            # No notice that the broker is blocked is looked for here: `await_confirms` looks often enough.
            self._write(METHOD_FRAME, self._open_channel(), spec.Basic.Publish, self._address(parcel), _Content(parcel))

    def await_confirms(self, wait: float) -> None:
        with losing(self._connection):
            self._together.flush()
            while self._read(0.0 if self._settled else wait):
                wait = 0.0
            self._amqp.heartbeat_tick()
        if self._unconfirmed and time.monotonic() - self._progress > CONFIRM_SECONDS:
            raise BrokerLostError(f"{len(self._unconfirmed)} messages unconfirmed for {CONFIRM_SECONDS:.0f} s")

    def outcomes(self) -> list[Outcome]:
        settled, self._settled = self._settled, []
        return settled

    def close(self) -> None:
        with suppress(*self._connection.connection_errors, *self._connection.channel_errors, OSError):
            if self._amqp.connected:
                self._amqp.sock.settimeout(GOODBYE_SECONDS)
                self._amqp.close()
        self._amqp.collect()

    def _open_channel(self) -> int:
        if self._channel.connection is None:
            raise RecoverableConnectionError("the channel was closed")
        return int(self._channel.channel_id)

    def _address(self, parcel: Parcel) -> Any:
        """The arguments of ``basic.publish``, encoded once for each place that messages go to."""
        place = (parcel.exchange, parcel.routing_key)
        known = self._addresses.get(place)
        if known is None:
            known = self._addresses[place] = dumps("Bssbb", (0, *place, True, False))
        return known

    def _read(self, wait: float) -> bool:
        try:
            self._amqp.drain_events(timeout=wait)
        except TimeoutError:
            return False
        return True

    def _block(self, blocked: bool) -> None:
        self._blocked = blocked
        self._progress = time.monotonic()

    def _on_return(self, error: Exception, exchange: str, routing_key: str, message: Any) -> None:
        self._returned[message.properties.get("message_id", "")] = broker.words(error)

    def _on_ack(self, tag: int, multiple: bool) -> None:
        for parcel in self._take(tag, multiple):
            # A returned message is confirmed, too, but after its return.
            reason = self._returned.pop(parcel.message_id, None)
            fate = Fate.CONFIRMED if reason is None else Fate.UNROUTABLE
            self._settled.append(Outcome(parcel, fate, reason or ""))

    def _on_nack(self, tag: int, multiple: bool) -> None:
        for parcel in self._take(tag, multiple):
            self._settled.append(Outcome(parcel, Fate.REFUSED, "the broker refused it: the queue is full or fails"))

    def _take(self, tag: int, multiple: bool) -> Iterator[Parcel]:
        self._progress = time.monotonic()
        if not multiple:
            parcel = self._unconfirmed.pop(tag, None)
            if parcel is not None:
                yield parcel
            return
        while self._unconfirmed and next(iter(self._unconfirmed)) <= tag:
            yield self._unconfirmed.popitem(last=False)[1]


class PlainPublisher:
    """Sends, and counts a message as arrived when no error was raised."""

    blocked = False

    def __init__(self, connection: Any, refused: Mapping[str, str]) -> None:
        self._connection = connection
        self.refused = refused
        self._channel: Any = connection.default_channel
        self._producer: Any = Producer(self._channel)  # type: ignore[no-untyped-call]
        self._settled: list[Outcome] = []

    def send(self, parcel: Parcel) -> None:
        with losing(self._connection):
            if parcel.exchange and not self._routes(parcel):
                self._settled.append(Outcome(parcel, Fate.UNROUTABLE, "no queue is bound to this type"))
                return
            self._producer.publish(
                parcel.body,
                exchange=parcel.exchange,
                routing_key=parcel.routing_key,
                content_type=CONTENT_TYPE,
                content_encoding="utf-8",
                delivery_mode=2,
                message_id=parcel.message_id,
                type=parcel.type,
            )
        self._settled.append(Outcome(parcel, Fate.CONFIRMED))

    def await_confirms(self, wait: float) -> None:
        pass

    def outcomes(self) -> list[Outcome]:
        settled, self._settled = self._settled, []
        return settled

    def close(self) -> None:
        broker.close(self._connection)

    def _routes(self, parcel: Parcel) -> bool:
        table = self._channel.get_table(parcel.exchange)
        kind = self._channel.typeof(parcel.exchange)
        return bool(kind.lookup(table, parcel.exchange, parcel.routing_key, None))
