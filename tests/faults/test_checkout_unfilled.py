"""A service that no move has filled leaves the messages of its capability to the monolith."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from uuid import uuid4

import amqp
import pytest

from tests.faults import queues
from tests.faults.customers import Customer
from tests.stack import Stack
from tests.waiting import eventually

WORKER = "monolith-worker"
NOBODY_SECONDS = 3.0  # a worker looks at its side several times per second
HANDLED = "SELECT count(*) FROM {}_inbox WHERE subject = %s"
INBOX = "SELECT count(*) FROM {}_inbox"


@pytest.fixture
def broker(rabbitmq: None, stack: Stack) -> str:
    url: str = stack.environment()["broker"]
    return url


def test_only_the_monolith_consumes_before_a_move(stack: Stack, broker: str) -> None:
    for queue in ("orders", "products"):
        eventually(lambda q=queue: _subscribed(broker, q), f"the monolith has subscribed to {queue}")
        assert queues.consumers(broker, queue) == 1

    with _without_worker(stack):
        subjects = {"orders": _somebody_leaves(stack), "products": _something_is_released(broker)}
        until = time.monotonic() + NOBODY_SECONDS
        while time.monotonic() < until:
            assert [queues.consumers(broker, queue) for queue in subjects] == [0, 0]
            time.sleep(0.1)

    for capability, subject in subjects.items():
        eventually(lambda c=capability, s=subject: _handled(stack, c, s), f"the monolith handles {capability}' message")
        with stack.database(capability) as session:
            assert session.execute(INBOX.format(capability).encode()).fetchone() == (0,)
    assert queues.dead(broker, "orders") == queues.dead(broker, "products") == []


def _subscribed(broker: str, queue: str) -> bool:
    """A stack is up before its workers are."""
    try:
        return queues.consumers(broker, queue) > 0
    except amqp.NotFound:
        return False


@contextmanager
def _without_worker(stack: Stack) -> Iterator[None]:
    """The monolith's worker is killed, and not started again before the block ends."""
    supervisor = stack.supervisor()
    os.kill(supervisor, signal.SIGSTOP)
    try:
        os.kill(stack.pids()[WORKER], signal.SIGKILL)
        url = stack.environment()["broker"]
        eventually(lambda: queues.consumers(url, "orders") + queues.consumers(url, "products") == 0, "nobody consumes")
        yield
    finally:
        os.kill(supervisor, signal.SIGCONT)


def _somebody_leaves(stack: Stack) -> str:
    """Orders are told by an event."""
    with stack.client() as client:
        customer = Customer(client).register()
        customer.leave()
    return str(customer.id)


def _something_is_released(broker: str) -> str:
    """Products are asked by a command; the key is one that they do not know."""
    key = str(uuid4())
    command = {
        "specversion": "1.0",
        "id": str(uuid4()),
        "type": "products.release",
        "source": "/orders",
        "subject": key,
        "time": datetime.now(UTC).isoformat(),
        "datacontenttype": "application/json",
        "capability": "orders",
        "aggregateversion": 0,
        "data": {"key": key, "reference": "order 0", "lines": []},
    }
    queues.send(broker, "products", json.dumps(command).encode())
    return key


def _handled(stack: Stack, capability: str, subject: str) -> bool:
    with stack.database("monolith") as session:
        return session.execute(HANDLED.format(capability).encode(), [subject]).fetchone() == (1,)
