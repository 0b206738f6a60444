"""Periodic tasks: both sides run a beat with the same schedule, and only the owner's publishes.

What a task belongs to is told by its queue, as everywhere: ``<capability>.tasks``. An entry for any other queue is no
capability's, and is published by whoever has it. A beat that does not publish goes on counting: when its side becomes
the owner, it publishes when the entry is due next, and not at once all that it has left to the other.

While its database is away, a beat does not know who the owner is, and publishes nothing more once something of a
capability is due: it waits, and says so. Nothing of that is lost: each entry is due then, and is published once.

Note "ends between two ticks": asked to end, Celery's beat closes its connection to the broker in the handler of the
signal, whatever the same thread is doing. In the midst of a publication, that waits for ever for an answer which the
interrupted code was about to read. So the handler only remembers, unless the beat sleeps or tries to reach a broker;
and no farewell is said to a broker, which may be silent.
"""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import Error, connection

from chassis import settings
from chassis.ownership import owners
from chassis.ownership.owners import SideState
from chassis.process.logs import Complaint

logger = logging.getLogger("chassis.servers.schedule")

SUFFIX = ".tasks"
LOOK_SECONDS = 0.05  # while a pause lasts
AWAY_SECONDS = 1.0  # from one look to the next while the database is away


class OwnersSchedule:
    """Mixed into the class of a beat's scheduler, whichever that is, by `guard`."""

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

    def _ensure_connected(self) -> Any:
        with self._ending.at_once():
            return super()._ensure_connected()  # type: ignore[misc]

    def close(self) -> None:
        """Of what was published, all is confirmed or given up."""
        self.__dict__.pop("producer", None)
        connection = self.__dict__.pop("connection", None)
        if connection is not None:
            connection.collect()
        super().close()  # type: ignore[misc]

    def apply_async(self, entry: Any, producer: Any = None, advance: bool = True, **kwargs: Any) -> Any:
        """Publishes the entry's task, or leaves it to the owner's beat; None then."""
        capability = capability_of(self.app, entry)
        if capability is None or self._owned.here(capability):
            return super().apply_async(entry, producer=producer, advance=advance, **kwargs)  # type: ignore[misc]
        if advance:
            self.reserve(entry)
        logger.debug("left_to_the_owner", extra={"entry": entry.name, "capability": capability})
        return None


class Ownership:
    """Whether this side publishes. What was seen before is no answer: meanwhile the owner may have become another."""

    def __init__(self, ending: Ending) -> None:
        self._ending = ending
        self._complaint = Complaint(logger, "owner_unknown")

    def here(self, capability: str) -> bool:
        """Waits while the database is away, however long, and while a pause lasts, for one of the two sides has to
        publish what is due in it.

        A pause that does not end in time is published in here: a task that comes twice does less harm than one that
        does not.
        """
        deadline: float | None = None
        while True:
            try:
                state = owners.sides().get(capability)
            except Error as error:
                connection.close()
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
    """How a beat that is asked to end does: see the note "ends between two ticks"."""

    def __init__(self) -> None:
        self._asked = False
        self._busy = False

    def heed_signals(self) -> None:
        """From now on SIGTERM and SIGINT ask; main thread only."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    @contextmanager
    def put_off(self) -> Iterator[None]:
        """What is inside is finished first. Raises SystemExit where the beat is to end, also before it begins."""
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
        """Inside, the beat ends where it stands: something is waited for that may never come."""
        outer, self._busy = self._busy, False
        try:
            self._end_if_asked(busy=False)
            yield
        finally:
            self._busy = outer

    def _ask(self, *_: Any) -> None:
        again, self._asked = self._asked, True
        # Asked twice, it is saving its schedule already.
        if not again:
            self._end_if_asked(busy=self._busy)

    def _end_if_asked(self, *, busy: bool) -> None:
        if self._asked and not busy:
            raise SystemExit(0)


def guard(scheduler: Any) -> None:
    """Makes the scheduler one that publishes only for what is open here; again is no error."""
    kind = type(scheduler)
    if not issubclass(kind, OwnersSchedule):
        scheduler._ending = Ending()
        scheduler._owned = Ownership(scheduler._ending)
        scheduler.__class__ = type(kind.__name__, (OwnersSchedule, kind), {"__module__": kind.__module__})


def capability_of(app: Any, entry: Any) -> str | None:
    """Whose the queue is that the entry's task goes to; None for a queue that is no capability's."""
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
