"""A connection to a broker, for tests that look at it from outside."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import amqp


@contextmanager
def connected(url: str, **options: Any) -> Iterator[Any]:
    """A channel of a connection of its own; ``options`` are py-amqp's."""
    parts = urlsplit(url)
    host = f"{parts.hostname}:{parts.port}"
    connection = amqp.Connection(host, userid=parts.username, password=parts.password, virtual_host="/", **options)
    connection.connect()
    try:
        yield connection.channel()
    finally:
        connection.close()
