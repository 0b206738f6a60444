"""A private RabbitMQ node for the tests."""

from __future__ import annotations

from pathlib import Path

from server_node import ServerNode
from strangler.stack import ports
from strangler.stack.broker import PORTS, RabbitMQ, choose

PASSWORD = "only-for-tests"


def node(folder: Path) -> ServerNode | None:
    """A node that has not been started; None where RabbitMQ is not installed."""
    assigned = ports.assign(PORTS, {}, folder / "ports.json")
    broker = choose(folder, assigned, PASSWORD)
    return ServerNode(broker.programs(), broker.url) if isinstance(broker, RabbitMQ) else None
