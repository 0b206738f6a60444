"""A shop whose users can be switched; after each test it must be at peace."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults import queues
from tests.faults.shop import Shop
from tests.stack import Stack


@pytest.fixture(scope="session")
def started(stack: Stack) -> Iterator[Shop]:
    """Users copied, streamed both ways and verified; the monolith owns them."""
    stack.run("start", "users")
    stack.run("verify", "users")
    found = Shop(stack)
    yield found
    found.close()


@pytest.fixture
def shop(started: Shop) -> Iterator[Shop]:
    """The shop, before and after a fault."""
    yield started
    started.check_peace()


@pytest.fixture(scope="session")
def rabbitmq() -> None:
    """Skips tests of promises that another broker does not make."""
    if not queues.is_installed():
        pytest.skip("rabbitmq-server is not installed, and the broker in its place promises less")
