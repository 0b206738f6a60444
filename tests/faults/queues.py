"""The broker from outside: the messages in its queues, the listeners, and the dead letters."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import amqp

from tests.broker import connected
from tests.faults.books import Event

EXCHANGE = "events"
LISTENER = "tests.heard"
HEARD = ("orders.order.*", "products.product.*")
PROGRAMS = f"/usr/lib/rabbitmq/bin:{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin"
OF_THE_NODE = ("RABBITMQ_", "ERL_EPMD_", "HOME=", "PATH=")
SECONDS = 60


def listen(url: str) -> None:
    """From now on the events are kept for `heard`, even if the broker dies."""
    with connected(url) as opened:
        opened.queue_declare(LISTENER, durable=True, auto_delete=False, arguments={"x-queue-type": "quorum"})
        opened.queue_purge(LISTENER)
        for types in HEARD:
            opened.queue_bind(LISTENER, EXCHANGE, types)


def heard(url: str) -> list[Event]:
    """What came since `listen`, in the order of arrival; it is still there afterwards."""
    return [Event.decode(_bytes(message.body)) for message in _waiting(url, LISTENER)]


def dead(url: str, capability: str) -> list[str]:
    """The dead letters of a capability, each with its reason."""
    return [
        f"{capability}: {message.headers.get('x-error') or message.headers.get('x-first-death-reason')}: "
        f"{_bytes(message.body).decode(errors='replace')}"
        for message in _waiting(url, f"{capability}.dead")
    ]


def send(url: str, queue: str, body: bytes) -> None:
    """Puts a message into a queue, as a relay would; returns when it is there."""
    with connected(url) as opened:
        opened.confirm_select()
        opened.basic_publish_confirm(amqp.Message(body, delivery_mode=2), "", queue, mandatory=True)


def consumers(url: str, queue: str) -> int:
    """How many are subscribed to the queue, those that wait for their turn as well."""
    with connected(url) as opened:
        return int(opened.queue_declare(queue, passive=True).consumer_count)


def contents(broker: int) -> dict[str, int]:
    """Messages by queue, delivered ones that are not acknowledged included; ``broker`` is the node's pid.

    Raises CalledProcessError while the node cannot say.
    """
    command = [_program("rabbitmqctl"), "-q", "list_queues", "name", "messages", "--formatter", "json"]
    # The node knows the place of its cookie and its port mapper, and a program that asks it must know it, too.
    given = (Path("/proc") / str(broker) / "environ").read_bytes().decode().split("\0")
    environment = dict(item.split("=", 1) for item in given if item.startswith(OF_THE_NODE))
    environment.pop("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", None)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=SECONDS, check=True)
    return {queue["name"]: queue["messages"] for queue in json.loads(done.stdout)}


def is_installed() -> bool:
    """Whether a stack on this machine has RabbitMQ, or else a broker that promises less."""
    return shutil.which("rabbitmq-server", path=PROGRAMS) is not None


def _program(name: str) -> str:
    """Debian's wrapper on the PATH insists on the user rabbitmq; the program behind it does not."""
    found = shutil.which(name, path=PROGRAMS)
    assert found is not None, f"RabbitMQ is installed without {name}"
    return found


def _waiting(url: str, queue: str) -> list[Any]:
    found = []
    with connected(url) as opened:
        # Given back when the channel is closed.
        while (message := opened.basic_get(queue, no_ack=False)) is not None:
            found.append(message)
    return found


def _bytes(body: str | bytes) -> bytes:
    return body.encode() if isinstance(body, str) else body
