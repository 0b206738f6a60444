"""Periodic tasks: both sides run a beat with the same schedule, and only the owner's publishes.

The queue of a task names its capability, as everywhere: ``<capability>.tasks``. An entry for any other queue belongs to
no capability, and every beat that has it publishes it. A beat that does not publish goes on counting. When its side
becomes the owner, it publishes an entry when that is due next, and does not publish at once all that it has left to the
other beat.

While its database is away, a beat does not know which side is the owner. Once something of a capability is due, it
publishes nothing more: it waits, and logs that it waits. Nothing is lost: each entry is due after that, and is
published once.

Note "ends between two ticks": when it is asked to end, Celery's beat closes its connection to the broker in the handler
of the signal, whatever the same thread is doing. In the middle of a publication, the handler waits for ever for an
answer that the interrupted code was about to read. So this handler only notes the signal, unless the beat sleeps or
tries to reach a broker. And the connection is dropped without a farewell to the broker, which may be silent. For the
same reason nothing that a broker is asked in a publication, such as to declare a queue, is waited for without end.
"""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from django.db import Error
from django.db import connection as database

from chassis import settings
from chassis.ownership import owners
from chassis.ownership.owners import SideState
from chassis.process.logs import Complaint

logger = logging.getLogger("chassis.servers.schedule")

SUFFIX = ".tasks"
LOOK_SECONDS = 0.05  # while a pause lasts
AWAY_SECONDS = 1.0  # from one look to the next while the database is away
ANSWER_SECONDS = 5.0  # as long as a publication waits for its confirmation; afterwards it is tried again


class OwnersSchedule:
    """`guard` mixes it into the class of a beat's scheduler, whatever class that is."""

    app: Any
    reserve: Any
    _owned: Ownership
    _ending: Ending

    def tick(self, *args: Any, **kwargs: Any) -> Any:
        """See the note "ends between two ticks"."""
        with self._ending.put_off():
            return super().tick(*args, **kwargs)  # type: ignore[misc]

    def _do_sync(self) -> None:
        with self._ending.put_off():
            super()._do_sync()  # type: ignore[misc]

    @cached_property
    def connection(self) -> Any:
        """The connection for publications; see the note "ends between two ticks"."""
        found = self.app.connection_for_write()
        if found.transport.driver_type == "amqp":
            limits = {"read_timeout": ANSWER_SECONDS, "write_timeout": ANSWER_SECONDS}
            found.transport_options = {**limits, **found.transport_options}
        return found

    def _ensure_connected(self) -> Any:
        with self._ending.at_once():
            return super()._ensure_connected()  # type: ignore[misc]

    def close(self) -> None:
        """Drops the connection: each publication has been confirmed or given up by now."""
        self.__dict__.pop("producer", None)
        connection = self.__dict__.pop("connection", None)
        if connection is not None:
            connection.collect()
        super().close()  # type: ignore[misc]

    def apply_async(self, entry: Any, producer: Any = None, advance: bool = True, **kwargs: Any) -> Any:
        """Publishes the entry's task, or leaves it to the owner's beat and returns None."""
        capability = capability_of(self.app, entry)
        if capability is None or self._owned.here(capability):
            return super().apply_async(entry, producer=producer, advance=advance, **kwargs)  # type: ignore[misc]
        if advance:
            self.reserve(entry)
        logger.debug("left_to_the_owner", extra={"entry": entry.name, "capability": capability})
        return None


class Ownership:
    """Whether this side publishes. It is looked up each time, because the owner may have changed meanwhile."""

    def __init__(self, ending: Ending) -> None:
        self._ending = ending
        self._complaint = Complaint(logger, "owner_unknown")

    def here(self, capability: str) -> bool:
        """Whether this side publishes for the capability. It waits as long as the database is away. It also waits while
        a pause lasts, because one of the two sides has to publish what becomes due in the pause.

        If a pause does not end in time, this side publishes: a task that comes twice does less harm than a task that
        does not come.
        """
        deadline: float | None = None
        while True:
            try:
                state = owners.sides().get(capability)
            except Error as error:
                database.close()
                self._complaint.make(str(error), exc_info=False)
                deadline = None
                self._rest(AWAY_SECONDS)
                continue
            self._complaint.over()
            deadline = deadline or time.monotonic() + settings.hold_seconds()
            if not _is_undecided(state) or time.monotonic() >= deadline:
                return owners.opened(state) or _is_undecided(state)
            self._rest(LOOK_SECONDS)

    def _rest(self, seconds: float) -> None:
        with self._ending.at_once():
            time.sleep(seconds)


class Ending:
    """How a beat ends when it is asked to: see the note "ends between two ticks"."""

    def __init__(self) -> None:
        self._asked = False
        self._busy = False

    def heed_signals(self) -> None:
        """From now on SIGTERM and SIGINT ask the beat to end; call it in the main thread only."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    @contextmanager
    def put_off(self) -> Iterator[None]:
        """Finishes the block inside first. Raises SystemExit where the beat was asked to end: after the block, or
        before it begins."""
        outer = self._busy
        self._end_if_asked(busy=outer)
        self._busy = True
        try:
            yield
        finally:
            self._busy = outer
        self._end_if_asked(busy=outer)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Inside, the beat ends at once, because it waits there for something that may never come."""
        outer, self._busy = self._busy, False
        try:
            self._end_if_asked(busy=False)
            yield
        finally:
            self._busy = outer

    def _ask(self, *_: Any) -> None:
        again, self._asked = self._asked, True
        # When it is asked a second time, it is saving its schedule already.
        if not again:
            self._end_if_asked(busy=self._busy)

    def _end_if_asked(self, *, busy: bool) -> None:
        if self._asked and not busy:
            raise SystemExit(0)


def guard(scheduler: Any) -> None:
    """Makes the scheduler publish only for capabilities that are open here; a second call is no error."""
    kind = type(scheduler)
    if not issubclass(kind, OwnersSchedule):
        scheduler._ending = Ending()
        scheduler._owned = Ownership(scheduler._ending)
        scheduler.__class__ = type(kind.__name__, (OwnersSchedule, kind), {"__module__": kind.__module__})


def capability_of(app: Any, entry: Any) -> str | None:
    """The capability of the queue that the entry's task goes to; None for a queue of no capability."""
    task = app.tasks.get(entry.task)
    wanted = {} if task is None else {name: getattr(task, name, None) for name in ("queue", "exchange", "routing_key")}
    wanted = {name: value for name, value in {**wanted, **(entry.options or {})}.items() if value is not None}
    route = app.amqp.router.route(dict(wanted), entry.task, entry.args, entry.kwargs, task_type=task)
    if route.get("exchange") == "" and "queue" not in wanted:
        name = str(route.get("routing_key", ""))
    else:
        # A route that sets something else, such as a time limit, names no queue; Celery then takes the default.
        queue = route.get("queue") or app.conf.task_default_queue
        name = str(getattr(queue, "name", queue))
    return name.removesuffix(SUFFIX) if name.endswith(SUFFIX) else None


def _is_undecided(state: SideState | None) -> bool:
    return state is not None and not state.open and state.bounce_to is None
