"""Publishes what is in the outbox, in the order of each key, and takes away what the broker has confirmed.

Note "one of a key at a time": a message is sent only when all messages of its key before it are confirmed. So the first
copies of a key's messages are in order, whatever is sent again: by this relay after a cut, or by two relays at once,
one of which does not know yet that its session is gone. A receiver that drops doubles by their id sees no other order.

Note "a backlog is not traced whole": a span costs a good part of what the message itself does. So of a large batch,
which is read when many messages wait, only the first `TRACED_MESSAGES` have one. The others' traces are whole but for
it: what handles a message is below what has written it.

Note "the broker is not kept waiting": while there is a backlog, a batch reads more rows before the last ones are
confirmed, and another session takes rows away. Otherwise the broker would have nothing to do meanwhile.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter as Tally
from collections import deque
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from typing import Any

import psycopg
from django.db import Error, connection
from prometheus_client import Counter, Gauge

from chassis import agreement, settings
from chassis.messages import broker, declarations, outbox, publishers, traces
from chassis.messages.broker import BrokerLostError
from chassis.messages.outbox import Rows, Waiting
from chassis.messages.publishers import Fate, Outcome, Parcel, Publisher
from chassis.messages.shares import Share
from chassis.process import faults, tracing, vitals
from chassis.process.logs import Complaint

logger = logging.getLogger("chassis.messages.relay")

BATCH_ROWS = 1000  # rows read at once
PATROL_SECONDS = 0.5  # between two looks where nothing was heard
LASTING_SECONDS = 1.0  # after which a batch reads no more rows
BURST_MESSAGES = 100  # messages sent between two looks at what the broker says
TRACED_MESSAGES = 50  # of a batch
# Between two looks at the outbox for which the relay is woken, where so many messages come that each may find several:
# a look costs as much as several messages. Nobody waits for an event, but somebody may wait for a reply.
MANY_PER_SECOND, REST_SECONDS, REST_OF_REPLIES_SECONDS = 50, 0.02, 0.005
BREATH_SECONDS = 0.05  # between two looks whether to stop, in a wait for confirms
MEASURE_SECONDS = 5.0
CALM_SECONDS = 0.05  # from a notice about a side to the look at it
# A relay that hangs must not keep its lanes. The limit is longer than a full window waits for its confirms.
SESSION = (
    f"SET idle_session_timeout = '{2 * publishers.CONFIRM_SECONDS:.0f}s'",
    "SET default_transaction_isolation = 'read committed'",
    outbox.SOON,
)

ROWS = Gauge("chassis_outbox_rows", "Messages that wait in the outbox.", multiprocess_mode="mostrecent")
AGE = Gauge("chassis_outbox_age_seconds", "Age of the oldest message in the outbox.", multiprocess_mode="mostrecent")
PUBLISHED = Counter("chassis_relay_published_total", "Messages that the broker has confirmed.", ["capability"])
PUT_OFF = Counter("chassis_relay_put_off_total", "Messages to be tried again later.", ["capability", "reason"])
LOST = Counter("chassis_relay_broker_lost_total", "Times the broker was away, or hung up.")


Read = Callable[[Collection[int]], list[Waiting]]


class Batch:
    """One batch on its way; see the note "one of a key at a time".

    ``read`` reads rows without those of the given ids: see the note "the broker is not kept waiting".
    """

    def __init__(
        self, table: Rows, rows: Sequence[Waiting], publisher: Publisher, window: int, read: Read | None = None
    ) -> None:
        self.done = 0  # messages that are out of the outbox
        self.backlog = False  # whether the last look did not see all that is ready
        self.confirmed: list[int] = []
        self.published: Tally[str] = Tally()
        self.problems: dict[int, str] = {}
        self.on_its_way: dict[int, Waiting] = {}
        self._outbox = table
        self._publisher = publisher
        self._window = window
        self._unheard = frozenset(settings.unheard())
        self._consumes = settings.consumes() if faults.allowed() else {}
        self._behind: dict[tuple[str, str], deque[Waiting]] = {}
        self._next: deque[Waiting] = deque()
        self._spans: dict[int, tracing.Span] = {}
        self._traced = 0
        self._read = read
        self._known: set[int] = set()
        self._taking: outbox.Taking | None = None
        self._being_taken: tuple[list[int], Future[None]] | None = None
        self._unsent = 0
        self._until = time.monotonic() + LASTING_SECONDS
        self._take_in(rows)

    def run(self, stopping: Callable[[], bool]) -> None:
        """Returns when all messages are decided, or when none is on its way and no more are to be sent.

        Raises ``BrokerLostError``; outcomes from before that count.
        """
        try:
            while self.on_its_way or (self._next and not self._publisher.blocked and not stopping()):
                vitals.beat()
                more = self._send(stopping)
                self._publisher.await_confirms(0 if more else BREATH_SECONDS)
                self._take_outcomes()
                if self._read and self._may_read(stopping):
                    self._take_away_meanwhile()
                    self._take_in(self._read(self._known))
        finally:
            self._take_outcomes()
            for span in self._spans.values():
                span.fail("broker_lost")
                span.end()
            self._spans.clear()

    def take_away(self) -> None:
        """Takes what is confirmed out of the outbox, and notes there what could not be published."""
        if self._taking is not None:
            self._taking.close()
            self._taking = None
        self._await_taken()
        self._outbox.done(self.confirmed)
        self._forget(self.confirmed)
        self.confirmed = []
        self._note_problems()

    def _take_away_meanwhile(self) -> None:
        """The same, but rows are taken away in a thread and a session of its own while more are published."""
        self._await_taken()
        self._taking = self._taking or outbox.Taking()
        self._being_taken = self.confirmed, self._taking.begin(self.confirmed)
        self.confirmed = []
        self._note_problems()

    def _await_taken(self) -> None:
        if self._being_taken is not None:
            ids, taken = self._being_taken
            self._being_taken = None
            taken.result()
            self._forget(ids)

    def _forget(self, ids: Sequence[int]) -> None:
        self.done += len(ids)
        self._known.difference_update(ids)

    def _note_problems(self) -> None:
        self._outbox.put_off(self.problems)
        for number, reason in self.problems.items():
            logger.warning("message_put_off", extra={"id": number, "reason": reason})
        self.problems.clear()

    def _may_read(self, stopping: Callable[[], bool]) -> bool:
        return (
            self.backlog
            and self._unsent <= self._window
            and time.monotonic() < self._until
            and not (self._publisher.blocked or stopping())
        )

    def _take_in(self, rows: Sequence[Waiting]) -> None:
        self.backlog = len(rows) == BATCH_ROWS
        self._unsent += len(rows)
        self._known.update(row.id for row in rows)
        for row in rows:
            self._queue(row)

    def _queue(self, row: Waiting) -> None:
        line = self._behind.setdefault((row.capability, row.key), deque())
        line.append(row)
        if len(line) == 1:
            self._next.append(row)

    def _send(self, stopping: Callable[[], bool]) -> bool:
        """Sends some messages; returns whether more could be sent at once."""
        if stopping() or self._publisher.blocked:
            return False
        room = self._window - len(self.on_its_way)
        for _ in range(min(BURST_MESSAGES, room, len(self._next))):
            row = self._next.popleft()
            if self._is_full(row):
                self.problems[row.id] = "the fault full-queue is on"
                PUT_OFF.labels(row.capability, Fate.REFUSED.value).inc()
                continue
            self.on_its_way[row.id] = row
            self._unsent -= 1
            if tracing.is_on() and self._traced < TRACED_MESSAGES:
                self._trace(row)
            self._publisher.send(_parcel(row))
        return bool(self._next) and room > BURST_MESSAGES

    def _trace(self, row: Waiting) -> None:
        """See the note "a backlog is not traced whole"."""
        span = traces.sending(row)
        if span.is_kept:
            self._traced += 1
            self._spans[row.id] = span

    def _is_full(self, row: Waiting) -> bool:
        """Whether a fault says so of the queue that the message goes to, as far as this project knows the queue."""
        if row.destination:
            return faults.is_full(row.destination)
        return any(faults.is_full(queue) for queue, types in self._consumes.items() if row.type in types)

    def _take_outcomes(self) -> None:
        for outcome in self._publisher.outcomes():
            self._settle(outcome)

    def _settle(self, outcome: Outcome) -> None:
        row = self.on_its_way.pop(outcome.parcel.number)
        unheard = outcome.fate is Fate.UNROUTABLE and not row.destination and row.type in self._unheard
        refused = outcome.fate is not Fate.CONFIRMED and not unheard
        if span := self._spans.pop(row.id, None):
            if refused:
                span.fail(outcome.fate.value)
            span.end()
        if refused:
            # The messages of its key behind it stay in the outbox, and wait with it.
            self.problems[row.id] = outcome.reason
            PUT_OFF.labels(row.capability, outcome.fate.value).inc()
            return
        self.confirmed.append(row.id)
        self.published[row.capability] += 1
        line = self._behind[row.capability, row.key]
        line.popleft()
        if line:
            self._next.append(line[0])


class Relay:
    """Runs in one thread, over one session of the database and one connection to the broker."""

    def __init__(self) -> None:
        self.stopping = threading.Event()
        self._broker_lost = Complaint(logger, "broker_lost")
        self._database_lost = Complaint(logger, "database_lost")
        self._share = Share()
        self._publisher: Publisher | None = None
        self._outbox = outbox.Rows()
        self._listening = False
        self._echo_due = float("-inf")
        self._backlog = self._idle = False
        self._window = publishers.WINDOW_MESSAGES
        self._failures = 0
        self._measured = float("-inf")
        self._opened = 0.0
        self._looked = float("-inf")
        self._rest = 0.0
        self._counted, self._addressed, self._counting_since = 0, 0, 0.0

    @property
    def idle(self) -> bool:
        """Whether it has nothing left to do and waits to be woken."""
        return self._idle

    def stop(self) -> None:
        """Asks it to stop: messages on their way are still waited for. May be called from a signal handler."""
        self.stopping.set()

    def run(self) -> None:
        """Runs until `stop`; waits for a broker or a database that is away."""
        with vitals.loop("relay"):
            while not self.stopping.is_set():
                vitals.beat()
                try:
                    published = self.turn()
                    if not (published and self._backlog):
                        self._wait()
                except BrokerLostError as error:
                    self._lose_broker(error)
                except (Error, psycopg.Error) as error:
                    self._lose_database(error)
        self._hang_up()

    def turn(self) -> int:
        """Publishes one batch of what is ready in this relay's lanes; returns how many messages are done with.

        Raises ``BrokerLostError`` and the database's errors; nothing is lost, something may be published twice.
        """
        self._looked = time.monotonic()
        self._listen()
        self._share.balance()
        self._measure()
        self._database_lost.over()
        self._look_again()
        if self._publisher is None:
            self._publisher = publishers.open_publisher(settings.broker_url(), settings.consumes())
            self._opened = time.monotonic()
            self._broker_lost.over()
            logger.info("broker_connected")
        rows = self._ready()
        self._count(rows)
        self._backlog = len(rows) == BATCH_ROWS
        if not rows:
            self._publisher.await_confirms(0)
            self._failures = 0
            return 0
        done = self._deliver(rows, self._publisher)
        if done:
            self._echo_due = self._looked + max(outbox.ECHO, self._rest)
        return done

    def _count(self, rows: Sequence[Waiting]) -> None:
        """Notes once per second how long to rest between two looks."""
        self._counted += len(rows)
        self._addressed += sum(bool(row.destination) for row in rows)
        seconds = self._looked - self._counting_since
        if seconds >= 1.0:
            many = self._counted > MANY_PER_SECOND * seconds
            self._rest = (REST_OF_REPLIES_SECONDS if self._addressed else REST_SECONDS) if many else 0.0
            self._counted, self._addressed, self._counting_since = 0, 0, self._looked

    def _look_again(self) -> None:
        """Makes the next publisher declare again: what the broker has refused may have been mended."""
        publisher = self._publisher
        if publisher is not None and publisher.refused and time.monotonic() - self._opened > declarations.AGAIN_SECONDS:
            self._drop_publisher()

    def _ready(self, known: Collection[int] = ()) -> list[Waiting]:
        return self._outbox.ready(self._share.lanes, BATCH_ROWS, without=known) if self._share.lanes else []

    def _deliver(self, rows: list[Waiting], publisher: Publisher) -> int:
        batch = Batch(self._outbox, rows, publisher, self._window, self._ready)
        try:
            batch.run(self.stopping.is_set)
            self._window, self._failures = publishers.WINDOW_MESSAGES, 0
        except BrokerLostError as error:
            self._blame(error, batch)
            raise
        finally:
            batch.take_away()
            self._backlog = batch.backlog
            for capability, count in batch.published.items():
                PUBLISHED.labels(capability).inc(count)
        return batch.done

    def _blame(self, error: BrokerLostError, batch: Batch) -> None:
        """Looks for the message at which the broker hangs up, one by one: it must not stop all others."""
        if not error.objected:
            return
        if len(batch.on_its_way) == 1:
            batch.problems.update(dict.fromkeys(batch.on_its_way, str(error)))
        self._window = 1

    def _listen(self) -> None:
        if self._listening:
            return
        with connection.cursor() as cursor:
            for setting in SESSION:
                cursor.execute(setting)
            cursor.execute(f"LISTEN {outbox.CHANNEL}")
            cursor.execute(f"LISTEN {agreement.SIDES_CHANNEL}")
        self._listening = True

    def _wait(self) -> None:
        """Waits until something is heard, or a look is due: see the note "the echo of a wake-up"."""
        session: Any = connection.connection
        echoing = self._looked < self._echo_due
        timeout = max(0.0, self._echo_due - time.monotonic()) if echoing else PATROL_SECONDS
        self._idle = not echoing
        heard = [notice.channel for notice in session.notifies(timeout=timeout, stop_after=1)]
        if agreement.SIDES_CHANNEL in heard:
            # A switch changes a side's row several times in a row. It needs the processors more than its events need
            # haste.
            self.stopping.wait(CALM_SECONDS)
        self._idle = False
        if outbox.CHANNEL in heard:
            now = time.monotonic()
            self._echo_due = now + outbox.ECHO
            if self._looked + self._rest > now:
                self.stopping.wait(self._looked + self._rest - now)

    def _measure(self) -> None:
        if time.monotonic() - self._measured >= MEASURE_SECONDS:
            rows, age = outbox.backlog()
            ROWS.set(rows)
            AGE.set(age)
            self._measured = time.monotonic()

    def _lose_broker(self, error: BrokerLostError) -> None:
        LOST.inc()
        self._broker_lost.make(str(error))
        self._drop_publisher()
        self._pause()

    def _lose_database(self, error: Exception) -> None:
        self._database_lost.make(str(error))
        # The messages are read again in another session, perhaps by another relay.
        self._drop_publisher()
        connection.close()
        self._listening = False
        self._share.forget()
        self._outbox = outbox.Rows()
        self._pause()

    def _pause(self) -> None:
        self._failures += 1
        self.stopping.wait(min(2.0, 0.05 * 2 ** min(self._failures, 8)))

    def _drop_publisher(self) -> None:
        if self._publisher is not None:
            self._publisher.close()
            self._publisher = None

    def _hang_up(self) -> None:
        self._drop_publisher()
        connection.close()


def _parcel(row: Waiting) -> Parcel:
    exchange, routing_key = ("", row.destination) if row.destination else (broker.EXCHANGE, row.type)
    return Parcel(row.id, row.message_id, row.type, exchange, routing_key, row.body)
