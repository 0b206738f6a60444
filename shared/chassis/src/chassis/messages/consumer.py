"""Reads a capability's queue while the capability is open here, and hands the messages to lanes.

Note "one thread a connection": only the thread that reads an AMQP connection touches it. Lanes only note what is
finished; a dead letter goes by a connection of its own.

Note "closed, not cancelled": a subscription ends by closing its channel. Everything that is unacknowledged then goes
back in one step, once and in its order, before another consumer becomes the active one. Messages that are rejected one
by one come round at once and use up the delivery limit.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Hashable
from contextlib import suppress
from typing import Any
from uuid import uuid4

from chassis import settings
from chassis.messages import broker, deadletters, declarations
from chassis.messages.acknowledgements import EVERY_SECONDS, Acknowledgements
from chassis.messages.broker import BrokerLostError
from chassis.messages.events import MalformedError, Message
from chassis.messages.lanes import TOGETHER_MESSAGES, Delivery, Lanes
from chassis.ownership.watch import Watch, backoff
from chassis.process import vitals
from chassis.process.logs import Complaint

logger = logging.getLogger("chassis.messages.consumer")

BUSY_SECONDS = EVERY_SECONDS  # of waiting for a message while finished ones may have to be acknowledged
CROWDED_SECONDS = 0.005  # the same, while the broker may wait for that before it delivers another
# The same wait while there is nothing to acknowledge. The end of a subscription may be noticed so late.
QUIET_SECONDS = 0.05
IDLE_SECONDS = 0.5  # between two looks at a connection that waits for the capability
FINISH_SECONDS = 2.0  # for what is under way when a subscription ends
LISTEN = broker.HEARTBEAT_SECONDS / 4  # seconds between two signs of life
LASTING_SECONDS = 10.0  # after which a lost subscription does not count as a failed attempt


class Consumer:
    """The consumer of one capability in this process: a reading thread and its lanes."""

    def __init__(self, capability: str, watch: Watch) -> None:
        self.capability = capability
        self._watch = watch
        self._lanes = Lanes(capability, watch, count=settings.lanes())
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"chassis-{capability}", daemon=True)
        self._complaint = Complaint(logger, "subscription_lost")

    def start(self) -> None:
        """Begins to consume as soon as the capability is open; returns at once.

        Where a move has begun, it connects to broker and database beforehand: who has to wait for an answer right after
        a switch does not wait for that.
        """
        self._lanes.start()
        self._thread.start()

    def stop(self, seconds: float = 10.0) -> None:
        """Finishes what is under way; the rest goes back to the queue."""
        self._stopping.set()
        self._thread.join(seconds)
        self._lanes.stop(seconds)

    def _run(self) -> None:
        failures = 0
        with vitals.loop(self.capability):
            while not self._stopping.is_set():
                vitals.beat()
                if not self._watch.await_near(self.capability, IDLE_SECONDS):
                    continue
                began = time.monotonic()
                try:
                    self._consume()
                except Exception as error:  # noqa: BLE001  this loop must fetch the messages again
                    failures = 1 if time.monotonic() - began > LASTING_SECONDS else failures + 1
                    self._complain(error)
                    self._stopping.wait(backoff(failures))

    def _consume(self) -> None:
        url = settings.broker_url()
        connection: Any = broker.connect(url)
        try:
            self._lanes.warm()
            with broker.losing(connection):
                if not self._awaited(connection):
                    return
                types = settings.consumes().get(self.capability, ())
                refused = declarations.declare(connection, {self.capability: types})
                if self.capability in refused:
                    raise BrokerLostError(refused[self.capability], objected=True)
                self._read(_Subscription(connection, self.capability, self._lanes, confirms=broker.confirms(url)))
        finally:
            connection.collect()

    def _awaited(self, connection: Any) -> bool:
        """Keeps the connection alive until the capability is open; False when it is not waited for any more.

        It declares nothing: while another side consumes the queue, that side says what it is bound to.
        """
        heard = time.monotonic()
        while not self._stopping.is_set() and self._watch.is_near(self.capability):
            if self._watch.await_open(self.capability, IDLE_SECONDS):
                return True
            vitals.beat()
            if time.monotonic() - heard >= LISTEN:
                heard = time.monotonic()
                with suppress(TimeoutError):
                    connection.drain_events(timeout=BUSY_SECONDS)
                connection.heartbeat_check()
        return False

    def _read(self, subscription: _Subscription) -> None:
        self._complaint.over()
        logger.info("consuming", extra={"capability": self.capability})
        try:
            while not subscription.ended.is_set() and self._may_consume():
                subscription.read()
                vitals.beat()
        finally:
            subscription.close()

    def _may_consume(self) -> bool:
        return not self._stopping.is_set() and self._watch.is_open(self.capability)

    def _complain(self, error: Exception) -> None:
        self._complaint.make(
            f"{type(error).__name__}: {error}",
            exc_info=not isinstance(error, BrokerLostError),
            capability=self.capability,
        )


class _Subscription:
    """One channel's deliveries, from the first to the end of the channel."""

    def __init__(self, connection: Any, capability: str, lanes: Lanes, *, confirms: bool) -> None:
        self.ended = threading.Event()
        self._connection = connection
        self._lanes = lanes
        self._channel = connection.channel()
        self._heard = time.monotonic()
        window = settings.prefetch()
        self._acknowledgements = Acknowledgements(self._channel, ordered=confirms, window=window)
        # kombu's virtual transports wait without end when they are not to wait.
        self._more = TOGETHER_MESSAGES if confirms else 0
        # kombu's own consumer will not do: it unpacks bodies, and ends when a body cannot be unpacked.
        self._channel.basic_qos(0, window, False)
        self._channel.basic_consume(
            capability, no_ack=False, callback=self._receive, consumer_tag=f"{capability}-{uuid4()}"
        )

    def read(self) -> None:
        """Waits a moment for a message, and takes all that have come; acknowledges what is due."""
        with suppress(TimeoutError):
            self._connection.drain_events(timeout=self._patience())
            for _ in range(self._more):
                self._connection.drain_events(timeout=0)
        self._lanes.begin()
        self._acknowledgements.flush_if_due()
        if time.monotonic() - self._heard >= LISTEN:
            self._heard = time.monotonic()
            self._connection.heartbeat_check()

    def _patience(self) -> float:
        if self._acknowledgements.is_crowded:
            return CROWDED_SECONDS
        return BUSY_SECONDS if self._acknowledgements.outstanding else QUIET_SECONDS

    def finish(self, tag: Hashable) -> None:
        self._acknowledgements.finish(tag)

    def end(self) -> None:
        self.ended.set()

    def close(self) -> None:
        """Waits for what is under way, acknowledges it, and gives everything else back."""
        self.end()
        self._lanes.finish(FINISH_SECONDS)
        self._acknowledgements.flush(all=True)
        self._acknowledgements.give_back()
        self._channel.close()

    def _receive(self, received: Any) -> None:
        tag, body, headers = received.delivery_tag, deadletters.body_of(received), received.headers or {}
        self._acknowledgements.expect(tag)
        if self.ended.is_set():
            return
        try:
            delivery = Delivery(self, tag, body, headers, Message.decode(body))
        except MalformedError as error:
            delivery = Delivery(self, tag, body, headers, None, f"MalformedError: {error}")
        self._lanes.put(delivery)
