"""Periodic tasks: both sides run a beat with the same schedule, and only the owner's publishes.

What a task belongs to is told by its queue, as everywhere: ``<capability>.tasks``. An entry for any other queue is no
capability's, and is published by whoever has it. A beat that does not publish goes on counting: when its side becomes
the owner, it publishes when the entry is due next, and not at once all that it has left to the other.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from django.db import Error, connection

from chassis import options, ownership
from chassis.logs import Complaint
from chassis.ownership import SideState

logger = logging.getLogger("chassis.schedule")

SUFFIX = ".tasks"
LOOK_EVERY = 0.05  # seconds, while a pause lasts


class OwnersSchedule:
    """Mixed into the class of a beat's scheduler, whichever that is, by `guard`."""

    app: Any
    reserve: Any
    _owned: Ownership

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
    """Whether this side publishes; while the database is away, what was seen last holds."""

    def __init__(self) -> None:
        self._last: dict[str, bool] = {}
        self._complaint = Complaint(logger, "owner_unknown")

    def here(self, capability: str) -> bool:
        """Waits while a pause lasts, for one of the two sides has to publish what is due in it.

        One that does not end in time is published here: a task that comes twice does less harm than one that does not.
        """
        deadline = time.monotonic() + options.hold_seconds()
        try:
            state = ownership.sides().get(capability)
            while _is_undecided(state) and time.monotonic() < deadline:
                time.sleep(LOOK_EVERY)
                state = ownership.sides().get(capability)
        except Error as error:
            connection.close()
            self._complaint.make(str(error), exc_info=False)
            return self._last.get(capability, options.open_without_move())
        self._complaint.settle()
        self._last[capability] = ownership.opened(state) or _is_undecided(state)
        return self._last[capability]


def guard(scheduler: Any) -> None:
    """Makes the scheduler one that publishes only for what is open here; again is no error."""
    kind = type(scheduler)
    if not issubclass(kind, OwnersSchedule):
        scheduler._owned = Ownership()
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
