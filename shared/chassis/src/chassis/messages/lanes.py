"""The threads that handle a capability's messages. Of one key at most one message is under way, so its order holds.

Note "short ones together": messages whose handlers allow it, and have been short lately, share a transaction (see the
note "one transaction for several" in `chassis.messages.inbox`). One lane at a time does this. What comes meanwhile
waits for its commit and is handled together then, as a database's commits share a flush; it waits no longer than
`PATIENCE_SECONDS`.

Note "the warmest lane": of the lanes that are free, the one that became free last is woken. So few messages are handled
by few threads and few sessions of the database, whose memory is still in the processors' caches, and not by each in its
turn.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count as count_up
from typing import Any, Protocol

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
TOGETHER_MESSAGES = 32  # in one transaction at most
TOGETHER_SECONDS = 0.02  # that their handlers may be expected to take
PATIENCE_SECONDS = 0.1
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

    @property
    def key(self) -> str:
        """Messages of one key are handled one after another."""
        return self.message.subject if self.message else ""


class Lanes:
    """Outlives subscriptions: work that is under way when one ends goes on, ahead of what the next one delivers."""

    def __init__(self, capability: str, watch: Watch, *, count: int) -> None:
        lock = threading.Lock()
        self._lock, self._idle = lock, threading.Condition(lock)
        # What each lane without work waits for, the one that became free last at the end.
        self._free: list[threading.Condition] = []
        # The first messages of keys of which none is under way, numbered as they became that: those that are handled
        # alone, and those that may share. By key, what is behind the first.
        self._alone: deque[tuple[int, Delivery]] = deque()
        self._short: deque[tuple[int, Delivery]] = deque()
        self._behind: dict[str, deque[Delivery]] = {}
        self._numbers = count_up()
        self._under_way = 0
        self.warmed = 0  # how many times all were to connect
        self._shared_since = float("-inf")  # when a lane began with several that are not done yet
        self._stopping = False
        self._capability = capability
        self._lanes = [_Lane(capability, watch, self, number) for number in range(count)]

    def start(self) -> None:
        for lane in self._lanes:
            lane.start()

    def warm(self) -> None:
        """Each lane connects to the database, if it has not done so; returns at once."""
        with self._lock:
            self.warmed += 1
            self._wake_all()

    def put(self, delivery: Delivery) -> None:
        """Queues the delivery behind the others of its subject; `begin` has it handled."""
        with self._lock:
            line = self._behind.get(delivery.key)
            if line is not None:
                line.append(delivery)
                return
            self._behind[delivery.key] = deque()
            self._admit(delivery)

    def begin(self) -> None:
        """Wakes a lane for what was put here. Put first what there is: a lane may handle it together."""
        with self._lock:
            self._wake_one()

    def finish(self, seconds: float) -> bool:
        """Waits until nothing of an ended subscription is under way; False when ``seconds`` pass first."""
        with self._idle:
            return self._idle.wait_for(lambda: not self._under_way, seconds)

    def stop(self, seconds: float) -> None:
        """Ends the threads; each finishes its present messages first."""
        with self._lock:
            self._stopping = True
            self._wake_all()
        deadline = time.monotonic() + seconds
        for lane in self._lanes:
            lane.join(max(0.0, deadline - time.monotonic()))

    def take(self, warmed: int) -> Sequence[Delivery] | None:
        """Waits for work: one message, or several short ones of different keys; none when all are to connect, and the
        lane has last done so when `warmed` was as given. None when the lane has to end."""
        woken = threading.Condition(self._lock)
        with self._lock:
            group: list[Delivery] = []
            while not group and not self._stopping and warmed == self.warmed:
                group = self._next()
                if not group:
                    self._free.append(woken)
                    woken.wait()
            self._under_way += len(group)
            self._wake_one()
        return None if self._stopping else group

    def done(self, group: Sequence[Delivery]) -> None:
        """What was taken is no longer under way; the next message of each key is ready."""
        with self._lock:
            if self._pace(group[0]) is not None:
                self._shared_since = float("-inf")
            for delivery in group:
                self._follow(delivery.key)
            self._under_way -= len(group)
            if not self._under_way:
                self._idle.notify_all()

    def _next(self) -> list[Delivery]:
        """What a lane is to do now: nothing, one message, or several short ones. The older comes first."""
        self._drop_ended()
        share = bool(self._short) and self._may_share()
        if share and not (self._alone and self._alone[0] < self._short[0]):
            self._shared_since = time.monotonic()
            return self._several()
        return [self._alone.popleft()[1]] if self._alone else []

    def _several(self) -> list[Delivery]:
        group: list[Delivery] = []
        seconds = 0.0
        while self._short and len(group) < TOGETHER_MESSAGES:
            _, delivery = self._short[0]
            seconds += self._pace(delivery) or 0.0
            if group and seconds > TOGETHER_SECONDS:
                break
            self._short.popleft()
            if delivery.origin.ended.is_set():
                self._follow(delivery.key)
            else:
                group.append(delivery)
        return group

    def _may_share(self) -> bool:
        return time.monotonic() - self._shared_since > PATIENCE_SECONDS

    def _drop_ended(self) -> None:
        for line in (self._alone, self._short):
            while line and line[0][1].origin.ended.is_set():
                self._follow(line.popleft()[1].key)

    def _admit(self, delivery: Delivery) -> None:
        line = self._alone if self._pace(delivery) is None else self._short
        line.append((next(self._numbers), delivery))

    def _pace(self, delivery: Delivery) -> float | None:
        return None if delivery.message is None else inbox.pace(delivery.message, self._capability)

    def _follow(self, key: str) -> None:
        line = self._behind[key]
        if line:
            self._admit(line.popleft())
        else:
            del self._behind[key]

    def _wake_one(self) -> None:
        """See the note "the warmest lane"."""
        if self._free and (self._alone or (self._short and self._may_share())):
            self._free.pop().notify()

    def _wake_all(self) -> None:
        while self._free:
            self._free.pop().notify()


class _Lane(threading.Thread):
    def __init__(self, capability: str, watch: Watch, lanes: Lanes, number: int) -> None:
        super().__init__(name=f"chassis-{capability}-{number}", daemon=True)
        self._capability = capability
        self._watch = watch
        self._all = lanes
        self._outcomes = {
            outcome: MESSAGES.labels(capability, outcome) for outcome in ("handled", "duplicate", "older", "dead")
        }

    def run(self) -> None:
        warmed = 0
        while (group := self._all.take(warmed)) is not None:
            if not group:
                warmed = self._all.warmed
                _connect()
                continue
            with vitals.loop(self.name):
                if len(group) == 1 or not self._settle_together(group):
                    for delivery in group:
                        if not delivery.origin.ended.is_set():
                            self._settle(delivery)
            self._all.done(group)
        connection.close()

    def _settle_together(self, group: Sequence[Delivery]) -> bool:
        """Whether all of them are dealt with; otherwise nothing was done."""
        self._stand_at_the_door(group[0])
        began = time.monotonic()
        messages = [delivery.message for delivery in group if delivery.message is not None]
        try:
            for message in messages:
                faults.raise_for(self._capability, message.data)
            outcomes = inbox.handle_together(messages, self._capability, self._one_of_several)
        except (Exception, SystemExit) as error:  # noqa: BLE001  each of them is handled by itself, and meets it again
            logger.info("messages_parted", extra={"count": len(group), "reason": f"{type(error).__name__}: {error}"})
            return False
        for delivery, message, outcome in zip(group, messages, outcomes, strict=True):
            with _logged(message, self._capability):
                self._finish(delivery, outcome, began)
        return True

    @contextmanager
    def _about(self, message: Message) -> Iterator[None]:
        """What is logged and traced inside is of this message."""
        with _logged(message, self._capability), traces.processing(message, self._capability):
            yield

    @contextmanager
    def _one_of_several(self, message: Message) -> Iterator[None]:
        with self._about(message):
            yield
            tracing.note({"strangler.outcome": "handled"})

    def _settle(self, delivery: Delivery) -> None:
        """Tries until the message is dealt with for good, or its subscription ends."""
        message = delivery.message
        if message is None:
            self._bury(delivery, delivery.fault, tries=0)
            return
        with self._about(message):
            self._try(delivery, message)

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


@contextmanager
def _logged(message: Message, capability: str) -> Iterator[None]:
    """What is logged inside is about this message."""
    request = logs.request_id.set(str(message.id))
    try:
        with about.about(**_fields(message), capability=capability, **owners.place(capability)):
            yield
    finally:
        logs.request_id.reset(request)


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
