"""The broker: how it is reached, and what is declared there.

RabbitMQ (``amqp://``, ``amqps://``) confirms each message; other brokers are reached through kombu's virtual
transports, which promise less (`shortcoming` says what).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from chassis.extras import missing

try:
    from kombu.connection import Connection
except ImportError as error:
    raise missing("messages", error) from error


EXCHANGE = "events"
DELIVERY_LIMIT = 20
# The delivery limit of dead letters: each look at a letter counts, and from RabbitMQ 4 on a queue that names no limit
# drops a letter after 20.
LOOKS = 2**31 - 1
CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 30.0
HEARTBEAT_SECONDS = 20


class BrokerLostError(Exception):
    """The broker is away, or has hung up; messages that were not confirmed may or may not have arrived.

    ``objected`` says that it hung up over something that was sent.
    """

    def __init__(self, reason: str, *, objected: bool = False) -> None:
        super().__init__(reason)
        self.objected = objected


def confirms(url: str) -> bool:
    """Whether the broker confirms each message."""
    return url.startswith(("amqp://", "amqps://"))


def shortcoming(url: str) -> str | None:
    """What this broker does not promise; None for RabbitMQ."""
    if confirms(url):
        return None
    return (
        f"{url.split(':', maxsplit=1)[0]} confirms no message: one that the broker drops or loses is not sent again, "
        "nothing limits redeliveries, and the order of a key ends with a consumer that dies"
    )


def dead(queue: str) -> str:
    """The queue of the messages that could not be handled."""
    return f"{queue}.dead"


def tasks(capability: str) -> str:
    """The queue of a capability's Celery tasks."""
    return f"{capability}.tasks"


def declare(channel: Any, consumes: Mapping[str, Iterable[str]]) -> None:
    """Declares the exchange, and for each capability its queue, its dead letters, and the bindings of its types of
    event.

    ``channel`` is py-amqp's, or one of kombu's virtual transports'. Raises the channel's errors.
    """
    declare_exchange(channel)
    for capability, types in consumes.items():
        declare_dead(channel, capability)
        declare_queue(channel, capability)
        bind(channel, capability, types)


def declare_exchange(channel: Any, passive: bool = False) -> None:
    channel.exchange_declare(exchange=EXCHANGE, type="topic", durable=True, auto_delete=False, **_only_look(passive))


def declare_dead(channel: Any, capability: str, *, passive: bool = False) -> None:
    arguments = {"x-queue-type": "quorum", "x-delivery-limit": LOOKS}
    name = dead(capability)
    channel.queue_declare(queue=name, durable=True, auto_delete=False, arguments=arguments, **_only_look(passive))


def declare_queue(channel: Any, capability: str, *, passive: bool = False) -> None:
    arguments = queue_arguments(capability)
    channel.queue_declare(queue=capability, durable=True, auto_delete=False, arguments=arguments, **_only_look(passive))


def bind(channel: Any, capability: str, types: Iterable[str]) -> None:
    for type in types:
        channel.queue_bind(queue=capability, exchange=EXCHANGE, routing_key=type)


def _only_look(passive: bool) -> dict[str, bool]:
    # kombu's virtual transports do not know ``passive`` for exchanges.
    return {"passive": True} if passive else {}


def queue_arguments(capability: str) -> dict[str, Any]:
    """The queue is replicated, has one consumer at a time for the order, and drops no message without a trace."""
    return {
        "x-queue-type": "quorum",
        "x-single-active-consumer": True,
        "x-delivery-limit": DELIVERY_LIMIT,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": dead(capability),
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }


def connect(url: str) -> Any:
    """A connection that is up, with time limits. Raises ``BrokerLostError``."""
    options = {"write_timeout": ANSWER_SECONDS, "read_timeout": ANSWER_SECONDS} if confirms(url) else {}
    connection: Any = Connection(  # type: ignore[no-untyped-call]
        url, connect_timeout=CONNECT_SECONDS, heartbeat=HEARTBEAT_SECONDS, transport_options=options
    )
    with losing(connection):
        connection.ensure_connection(max_retries=0, reraise_as_library_errors=False)
    return connection


@contextmanager
def losing(connection: Any) -> Iterator[None]:
    """Every error of the transport inside is a ``BrokerLostError``."""
    try:
        yield
    except connection.channel_errors as error:
        raise BrokerLostError(words(error), objected=True) from error
    except (*connection.connection_errors, OSError) as error:
        raise BrokerLostError(words(error)) from error


def close(connection: Any) -> None:
    """Closes the connection, also a lost one; raises nothing."""
    with suppress(*connection.connection_errors, *connection.channel_errors, OSError):
        connection.close()


def words(error: BaseException) -> str:
    """The error as it is noted."""
    return f"{type(error).__name__}: {error}"[:500]
