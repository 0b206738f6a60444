"""The threads that handle a capability's messages. One key always goes through the same thread, so its order holds."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Hashable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Protocol
from zlib import crc32

import psycopg
from django.db import Error, InterfaceError, OperationalError, connection
from prometheus_client import Counter

from chassis.messages import deadletters, inbox, traces
from chassis.messages.broker import BrokerLostError
from chassis.messages.events import Message
from chassis.messages.inbox import FencedError
from chassis.ownership import owners
from chassis.ownership import traces as moves
from chassis.ownership.watch import Watch, backoff
from chassis.process import about, faults, logs, tracing, vitals

logger = logging.getLogger("chassis.messages.consumer")

TRIES = 5
PAUSE_SECONDS = 5.0  # for which a message waits at a shut door before it goes on and meets the fence
CANCELLED = "57014"  # SQLSTATE of a statement that took too long: its own fault, not the server's

MESSAGES = Counter(
    "chassis_consumer_messages_total", "Messages taken from the capability's queue.", ["capability", "outcome"]
)
RETRIES = Counter("chassis_consumer_retries_total", "Messages tried again in place.", ["capability", "reason"])


class Origin(Protocol):
    """The subscription that delivered a message. Its deliveries count no longer once it has ended."""

    ended: threading.Event

    def finish(self, tag: Hashable) -> None:
        """The message needs no second delivery."""

    def end(self) -> None:
        """Nothing more is begun. What is not finished is delivered again, to the consumer that is then active."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message as it was delivered; ``message`` is None where the body cannot be understood."""

    origin: Origin
    tag: Hashable
    body: bytes
    headers: Mapping[str, Any]
    message: Message | None
    fault: str = ""


class Lanes:
    """Outlives subscriptions: work that is under way when one ends goes on, ahead of what the next one delivers."""

    def __init__(self, capability: str, watch: Watch, *, count: int) -> None:
        self._lanes = [_Lane(capability, watch, number) for number in range(count)]

    def start(self) -> None:
        for lane in self._lanes:
            lane.start()

    def warm(self) -> None:
        """Each lane connects to the database, if it has not done so; returns at once."""
        for lane in self._lanes:
            lane.queue.put(WARM)

    def put(self, delivery: Delivery) -> None:
        """Queues the delivery behind the others of its subject."""
        subject = delivery.message.subject if delivery.message else ""
        self._lanes[crc32(subject.encode()) % len(self._lanes)].queue.put(delivery)

    def finish(self, seconds: float) -> bool:
        """Waits until nothing of an ended subscription is under way; False when ``seconds`` pass first."""
        deadline = time.monotonic() + seconds
        return all(lane.idle.wait(max(0.0, deadline - time.monotonic())) for lane in self._lanes)

    def stop(self, seconds: float) -> None:
        """Ends the threads; each finishes its present message first."""
        for lane in self._lanes:
            lane.queue.put(None)
        deadline = time.monotonic() + seconds
        for lane in self._lanes:
            lane.join(max(0.0, deadline - time.monotonic()))


class _Warm:
    """In a lane's queue: no delivery, but an occasion to connect."""


WARM = _Warm()


class _Lane(threading.Thread):
    def __init__(self, capability: str, watch: Watch, number: int) -> None:
        super().__init__(name=f"chassis-{capability}-{number}", daemon=True)
        self.queue: SimpleQueue[Delivery | _Warm | None] = SimpleQueue()
        self.idle = threading.Event()
        self.idle.set()
        self._capability = capability
        self._watch = watch
        self._outcomes = {
            outcome: MESSAGES.labels(capability, outcome) for outcome in ("handled", "duplicate", "older", "dead")
        }

    def run(self) -> None:
        while (delivery := self.queue.get()) is not None:
            if isinstance(delivery, _Warm):
                _connect()
                continue
            self.idle.clear()
            if not delivery.origin.ended.is_set():
                with vitals.loop(self.name):
                    self._settle(delivery)
            self.idle.set()
        connection.close()

    def _settle(self, delivery: Delivery) -> None:
        """Tries until the message is dealt with for good, or its subscription ends."""
        message = delivery.message
        if message is None:
            self._bury(delivery, delivery.fault, tries=0)
            return
        request = logs.request_id.set(str(message.id))
        fields = {**_fields(message), "capability": self._capability, **owners.place(self._capability)}
        try:
            with traces.processing(message, self._capability), about.about(**fields):
                self._try(delivery, message)
        finally:
            logs.request_id.reset(request)

    def _try(self, delivery: Delivery, message: Message) -> None:
        attempts, tries = 0, 0
        fault: BaseException
        while not delivery.origin.ended.is_set():
            vitals.beat()
            self._stand_at_the_door(delivery)
            began = time.monotonic()
            try:
                faults.raise_for(self._capability, message.data)
                outcome = inbox.handle(message, self._capability)
            except FencedError as error:
                if error.capability == self._capability:
                    self._give_back(delivery)
                    return
                patient, fault = not _is_decided(error.capability), error
            except (Exception, SystemExit) as error:  # noqa: BLE001  a lane goes on, whatever a handler raises
                patient, fault = _is_trouble(error), error
            else:
                self._finish(delivery, outcome, began)
                return
            attempts, tries = attempts + 1, tries + (not patient)
            if tries >= TRIES:
                logger.error("message_dead", exc_info=fault, extra=_fields(message))
                self._bury(delivery, f"{type(fault).__name__}: {fault}", tries=tries)
                return
            self._wait(delivery, message, fault, patient=patient, seconds=backoff(attempts if patient else tries))

    def _stand_at_the_door(self, delivery: Delivery) -> None:
        """Waits while a fence is about to be put up: the fence waits for everything that has begun."""
        if self._watch.is_pausing(self._capability):
            ended = delivery.origin.ended
            with moves.held(self._capability, None):
                self._watch.wait(lambda: ended.is_set() or not self._watch.is_pausing(self._capability), PAUSE_SECONDS)

    def _finish(self, delivery: Delivery, outcome: inbox.Outcome, began: float) -> None:
        if outcome == "ignored":
            self._bury(delivery, "nothing handles this type", tries=0)
            return
        tracing.note({"strangler.outcome": outcome})
        self._outcomes[outcome].inc()
        delivery.origin.finish(delivery.tag)
        logger.info("message_handled", extra={"outcome": outcome, "milliseconds": _milliseconds(began)})

    def _give_back(self, delivery: Delivery) -> None:
        """Gives back this message and all that wait here: they are the new owner's."""
        tracing.event("strangler.given_back", moves.seen(self._capability))
        logger.info("fence_met", extra={"capability": self._capability})
        self._watch.doubt(self._capability)
        delivery.origin.end()

    def _bury(self, delivery: Delivery, fault: str, *, tries: int) -> None:
        """Lays the message aside, and acknowledges it only then, however long the broker cannot take it."""
        attempts = 0
        while not delivery.origin.ended.is_set():
            try:
                deadletters.bury(
                    self._capability,
                    delivery.body,
                    delivery.headers,
                    fault=fault,
                    tries=tries,
                    message=delivery.message,
                )
            except BrokerLostError as error:
                attempts += 1
                vitals.beat()
                logger.warning("dead_letter_refused", extra={"capability": self._capability, "reason": str(error)})
                delivery.origin.ended.wait(backoff(attempts))
            else:
                tracing.note({"strangler.outcome": "dead"})
                tracing.fail("dead")
                self._outcomes["dead"].inc()
                delivery.origin.finish(delivery.tag)
                return

    def _wait(
        self, delivery: Delivery, message: Message, fault: BaseException, *, patient: bool, seconds: float
    ) -> None:
        reason = "trouble" if patient else "fault"
        RETRIES.labels(self._capability, reason).inc()
        tracing.event("strangler.tried_again", {"strangler.reason": reason, "error.type": type(fault).__qualname__})
        logger.warning(
            "message_tried_again",
            extra=_fields(message) | {"reason": f"{type(fault).__name__}: {fault}", "wait": seconds},
        )
        if patient:
            # The work of a lost session is over; the next statement begins another session.
            connection.close()
        delivery.origin.ended.wait(seconds)


def _connect() -> None:
    # A server that is away keeps nobody from anything: the first message waits for it.
    with suppress(Error):
        connection.ensure_connection()


def _is_trouble(error: BaseException) -> bool:
    """Whether the database is to blame: it will be back, so the message can be tried again."""
    if not isinstance(error, (OperationalError, InterfaceError, psycopg.OperationalError, psycopg.InterfaceError)):
        return False
    cause = error.__cause__ if isinstance(error.__cause__, psycopg.Error) else error
    return getattr(cause, "sqlstate", None) != CANCELLED


def _is_decided(capability: str) -> bool:
    """Whether the owner of this other capability is known. If so, a handler that writes its tables here is at fault."""
    try:
        state = owners.sides().get(capability)
    except (OperationalError, InterfaceError):
        return False
    return state is not None and state.bounce_to is not None


def _milliseconds(since: float) -> float:
    return round((time.monotonic() - since) * 1000, 1)


def _fields(message: Message) -> dict[str, Any]:
    """What its lines have. Not its subject, which may be a user's id: `manage.py events show` has it."""
    return {"type": message.type, "message_id": str(message.id)}
