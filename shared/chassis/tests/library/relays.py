"""Relays of the test's own, in threads and in processes, and someone who listens to what they publish."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from chassis.messages import broker, events
from chassis.messages.events import Message
from chassis.messages.relay import Relay
from django.db import connection, transaction

from library.waiting import until

TESTS = Path(__file__).resolve().parents[1]


@contextmanager
def relaying() -> Iterator[Relay]:
    """A relay in a thread of its own."""
    relay = Relay()
    thread = threading.Thread(target=relay.run)
    thread.start()
    try:
        yield relay
    finally:
        relay.stop()
        thread.join(60)
    assert not thread.is_alive()


class RelayProcess:
    """``manage.py relay``; killed at the end where it still runs."""

    def __init__(self, url: str, *arguments: str) -> None:
        there = connection.settings_dict
        account = f"{quote(there['USER'])}:{quote(there['PASSWORD'])}"
        environment = {
            **os.environ,
            "DATABASE_URL": f"postgresql://{account}@{there['HOST']}:{there['PORT']}/{quote(there['NAME'])}",
            "BROKER_URL": url,
            "DJANGO_SETTINGS_MODULE": "project",
            "PYTHONPATH": str(TESTS),
        }
        command = [sys.executable, "-m", "django", "relay", *arguments]
        self._process = subprocess.Popen(command, env=environment, cwd=TESTS)

    def __enter__(self) -> RelayProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        """Without warning; again is no error."""
        self._process.kill()
        self._process.wait()

    def terminate(self) -> int:
        """Asks it to end; its exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(60)


class Ear:
    """A queue bound to some types of event, under a name that nothing else has."""

    def __init__(self, url: str, types: Sequence[str] = (), name: str | None = None) -> None:
        self.name = name or f"ear-{uuid4().hex[:12]}"
        self._url, self._types = url, types
        self.heard: list[Message] = []
        self.bodies: list[bytes] = []

    def __enter__(self) -> Ear:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.basic_cancel(self._tag)
        for queue in (self.name, broker.dead(self.name)):
            self._channel.queue_delete(queue)
        self._connection.close()

    def open(self) -> None:
        """Also after the broker was away."""
        self._connection: Any = broker.connect(self._url)
        self._channel: Any = self._connection.channel()
        broker.declare(self._channel, {self.name: self._types})
        self._tag = self._channel.basic_consume(self.name, no_ack=True, callback=self._hear)

    def listen(self) -> list[Message]:
        """All that has been heard so far, in the order of arrival."""
        with suppress(TimeoutError):
            while True:
                self._connection.connection.drain_events(timeout=0.01)
        return self.heard

    def hear(self, more: int, seconds: float = 60.0) -> None:
        """Returns as soon as so many more have been heard, though others follow at once."""
        goal, deadline = len(self.heard) + more, time.monotonic() + seconds
        while len(self.heard) < goal:
            assert time.monotonic() < deadline, f"{goal - len(self.heard)} of {more} messages not within {seconds} s"
            with suppress(TimeoutError):
                self._connection.connection.drain_events(timeout=0.1)

    def _hear(self, found: Any) -> None:
        body = found.body if isinstance(found.body, bytes) else str(found.body).encode()
        self.bodies.append(body)
        self.heard.append(Message.decode(body))

    def firsts(self) -> Mapping[str, list[int]]:
        """By key the numbers heard, each where it was heard first."""
        keys: dict[str, list[int]] = {}
        for message in self.listen():
            numbers = keys.setdefault(message.subject, [])
            if message.data["number"] not in numbers:
                numbers.append(message.data["number"])
        return keys

    def await_count(self, count: int, seconds: float = 60.0) -> None:
        """Until so many different messages have been heard."""
        until(lambda: len({message.id for message in self.listen()}) >= count, seconds)


def tell(type: str, key: str = "1", number: int = 0, capability: str = "books", **data: Any) -> None:
    """An event in a transaction of its own."""
    with transaction.atomic():
        events.publish(capability=capability, type=type, key=key, data={"number": number, **data})


def fill(type: str, keys: int, each: int) -> None:
    """So many events of so many keys in one transaction; a key's are numbered from 0."""
    with transaction.atomic():
        for number in range(each):
            for key in range(keys):
                events.publish(capability="books", type=type, key=f"key-{key}", data={"number": number})
