"""Declares what is consumed, one thing at a time: what the broker refuses is named, and all else goes on.

A broker refuses to declare something that exists already with other properties, and closes the channel. So each thing
is declared by itself, and a queue that cannot be had concerns its own capability only.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from prometheus_client import Gauge

from chassis.messages import broker

logger = logging.getLogger("chassis.messages.broker")

ACCESS_REFUSED, RESOURCE_LOCKED, PRECONDITION_FAILED = 403, 405, 406
AGAIN_SECONDS = 30.0  # after which refused declarations are tried again

REFUSED = Gauge(
    "chassis_broker_refused", "Whether the broker refuses to declare it.", ["name"], multiprocess_mode="livemax"
)

_refused: dict[str, str] = {}
_lock = threading.Lock()


def declare(connection: Any, consumes: Mapping[str, Iterable[str]]) -> Mapping[str, str]:
    """Declares the exchange, the queues and the bindings; returns by name why something could not be had, and what to
    do.

    Raises the errors of a connection that is lost.
    """
    wanted: list[tuple[str, Callable[[Any, bool], Any]]] = [(broker.EXCHANGE, broker.declare_exchange)]
    for queue, types in consumes.items():
        wanted += [(broker.dead(queue), _dead(queue)), (queue, _alive(queue)), (queue, _bound(queue, types))]
    refused: dict[str, str] = {}
    for name, step in wanted:
        reason = _try(connection, name, step)
        if reason:
            refused.setdefault(name, reason)
    _remember({name for name, _ in wanted}, refused)
    return refused


def attempt(connection: Any, queue: Any) -> bool:
    """Whether kombu's queue can be declared. Celery, for one, ends the worker when one of its queues cannot be."""

    def step(channel: Any, passive: bool) -> None:
        bound = queue.bind(channel)
        if passive:
            bound.queue_declare(passive=True)
        else:
            bound.declare()

    reason = _try(connection, queue.name, step)
    _remember({queue.name}, {queue.name: reason} if reason else {})
    return not reason


def refused() -> dict[str, str]:
    """What this process could not declare when it tried last, for ``/readyz``."""
    with _lock:
        return dict(_refused)


def _try(connection: Any, name: str, step: Callable[[Any, bool], Any]) -> str:
    for passive in (False, True):
        channel = connection.channel()
        try:
            step(channel, passive)
        except connection.channel_errors as error:
            # A user that may not declare may still use what another has declared.
            if getattr(error, "reply_code", None) == ACCESS_REFUSED and not passive:
                continue
            return _advice(name, error)
        channel.close()
        return ""
    return ""


def _dead(queue: str) -> Callable[[Any, bool], Any]:
    return lambda channel, passive: broker.declare_dead(channel, queue, passive=passive)


def _alive(queue: str) -> Callable[[Any, bool], Any]:
    return lambda channel, passive: broker.declare_queue(channel, queue, passive=passive)


def _bound(queue: str, types: Iterable[str]) -> Callable[[Any, bool], Any]:
    return lambda channel, _: broker.bind(channel, queue, types)


def _advice(name: str, error: Any) -> str:
    match getattr(error, "reply_code", None):
        case 406:
            what = f"rabbitmqctl delete_queue {name}" if name != broker.EXCHANGE else "delete the exchange"
            return (
                f"{name} exists with other properties: {broker.words(error)}. Nothing of {name} is handled here until "
                f"it is mended: let it run empty, then {what}; it is made anew within {AGAIN_SECONDS:.0f} seconds."
            )
        case 405:
            return f"{name} belongs to one connection alone: {broker.words(error)}. End the program that holds it."
        case 403:
            return (
                f"the broker's user may not declare, bind or see {name}: {broker.words(error)}. Give it configure, "
                "write and read on that name and on the exchange (rabbitmqctl set_permissions)."
            )
        case _:
            return f"{name} cannot be had from the broker: {broker.words(error)}. See what it is there."


def _remember(looked: set[str], refused: Mapping[str, str]) -> None:
    with _lock:
        for name in looked:
            REFUSED.labels(name).set(name in refused)
            before, now = _refused.pop(name, None), refused.get(name)
            if now is not None:
                _refused[name] = now
            if now is not None and now != before:
                logger.error("declaration_refused", extra={"queue": name, "reason": now})
            if now is None and before is not None:
                logger.info("declaration_refused_over", extra={"queue": name})
