"""Puts messages into the library's queue, as a relay would, and looks at what lies where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import kombu
from amqp.exceptions import ChannelError
from chassis.messages import broker
from chassis.messages.deadletters import Box, Letter, body_of
from chassis.messages.events import CONTENT_TYPE, Message


def message(
    type: str = "books.add", *, key: str = "1", version: int = 0, id: UUID | None = None, **data: Any
) -> Message:
    """A message as another capability would have made it."""
    return Message(
        id=id or uuid4(),
        type=type,
        source="/visits",
        subject=key,
        time=datetime.now(UTC),
        version=version,
        data=data,
        capability="visits",
    )


@dataclass(frozen=True)
class Taken:
    """A message as it lay in a queue."""

    message: Message
    headers: Mapping[str, Any]


class Post:
    """A connection of the test's own; the library's queues are empty when it opens."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __enter__(self) -> Post:
        self._open()
        for queue in ("books", "books.dead"):
            self._channel.queue_purge(queue)
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.release()

    def renew(self) -> None:
        """After the broker was away."""
        self._connection.collect()
        self._open()

    def put(self, *messages: Message) -> None:
        for each in messages:
            self.put_body(each.encode())

    def put_body(self, body: bytes, headers: Mapping[str, Any] | None = None) -> None:
        self._producer.publish(
            body,
            routing_key="books",
            exchange="",
            headers=dict(headers or {}),
            content_type=CONTENT_TYPE,
            content_encoding="utf-8",
            delivery_mode=2,
        )

    def count(self, queue: str) -> int:
        """The messages that wait in a queue and are handed out to nobody."""
        try:
            return int(self._channel.queue_declare(queue, passive=True).message_count)
        except ChannelError:
            # An empty list is none, to a Redis.
            if self._connection.transport.driver_type != "redis":
                raise
            return 0

    def consumers(self, queue: str) -> int:
        return int(self._channel.queue_declare(queue, passive=True).consumer_count)

    def take(self, queue: str, count: int) -> list[Taken]:
        """Takes so many messages away, as another consumer would."""
        taken: list[Taken] = []
        with self._connection.channel() as channel:
            channel.basic_consume(
                queue,
                no_ack=True,
                consumer_tag="post",
                callback=lambda found: taken.append(Taken(Message.decode(body_of(found)), found.headers or {})),
            )
            while len(taken) < count:
                self._connection.drain_events(timeout=10)
        return taken

    def dead(self) -> list[Letter]:
        """The library's dead letters, which stay where they are."""
        with Box("books") as box:
            return list(box.letters())

    def _open(self) -> None:
        self._connection = kombu.Connection(self._url, transport_options={"confirm_publish": True})
        self._channel: Any = self._connection.channel()
        self._producer = kombu.Producer(self._channel)
        broker.declare(self._channel, {"books": ["visits.visit.noted"]})
