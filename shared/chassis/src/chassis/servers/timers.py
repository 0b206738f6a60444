"""What workers and relays do by the clock: they look at deadlines of sagas every second, and forget what was kept long
enough."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from datetime import timedelta

from django.db import Error, connection

from chassis import extras, settings
from chassis.messages import archive
from chassis.process import vitals
from chassis.process.logs import Complaint
from chassis.sagas import ages, saga

logger = logging.getLogger("chassis.servers.timers")

BATCH_ROWS = 100  # deadlines at a time
DEADLINES_SECONDS = 1.0  # between two looks at deadlines
MEASURE_SECONDS = 5.0  # between two counts of sagas and messages
TIDYING_SECONDS = 600.0  # between two looks for what is old
# Where nothing was forgotten for a long time, one statement deletes very many rows.
SLOW = TIDYING_SECONDS + 3600.0

Chore = tuple[float, Callable[[], object]]


class Timers:
    """One thread per process; without ``chores`` it does a worker's.

    Several processes may do the same chores at once; chores that need an owner are done only by the owner.
    """

    def __init__(self, chores: Sequence[Chore] | None = None) -> None:
        self._chores = (
            chores
            if chores is not None
            else [
                (DEADLINES_SECONDS, lambda: saga.expire(BATCH_ROWS)),
                (MEASURE_SECONDS, ages.measure),
                (TIDYING_SECONDS, tidy),
            ]
        )
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="chassis-timers", daemon=True)
        self._complaint = Complaint(logger, "timer_put_off")

    def start(self) -> None:
        """Begins; every chore is due at once."""
        self._thread.start()

    def stop(self, seconds: float = 10.0) -> None:
        """Returns when the chore that is under way is done."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(seconds)

    def _run(self) -> None:
        due = [time.monotonic()] * len(self._chores)
        with vitals.loop("timers", SLOW):
            while not self._stopping.wait(max(0.0, min(due) - time.monotonic())):
                for place, (every, chore) in enumerate(self._chores):
                    if due[place] <= time.monotonic():
                        self._do(chore)
                        vitals.beat()
                        due[place] = time.monotonic() + every
        connection.close()

    def _do(self, chore: Callable[[], object]) -> None:
        try:
            chore()
        except Error as error:
            # The server is away, or a fence was put up meanwhile: the chore is due again soon.
            self._complaint.make(f"{type(error).__name__}: {error}")
            connection.close()
        except Exception:
            # Without this thread no deadline would pass any more.
            logger.exception("timer_failed")
        else:
            self._complaint.over()


def tidy() -> None:
    """Forgets handled messages and stored answers that are older than they have to be kept."""
    archive.forget_handled()
    if not extras.has("rest_framework"):
        return
    from chassis.rest import idempotency

    idempotency.purge(timedelta(days=settings.idempotency_days()))


def forget_published() -> None:
    """Forgets published events that are older than they have to be kept. Relays do this, because not every project that
    publishes has a worker."""
    archive.purge("published", archive.outdated())
