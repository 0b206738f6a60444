"""Sweeps behind deleted rows for as long as it runs: a queued deletion wakes it, and it looks now and then in any
case."""

from __future__ import annotations

import logging
import threading
from typing import Any

import psycopg
from django.db import Error, connection

from chassis import agreement
from chassis.ownership.watch import backoff
from chassis.process import vitals
from chassis.process.logs import Complaint
from chassis.references import sweeping

logger = logging.getLogger("chassis.references.sweeper")

PATROL_SECONDS = 5.0  # between two looks where no notification came
BREATH_SECONDS = 0.5  # between two looks whether to stop, in a wait for a notification


class Sweeper:
    """Runs in one thread, over one session of the database."""

    def __init__(self) -> None:
        self.stopping = threading.Event()
        self._lost = Complaint(logger, "database_lost")
        self._failures = 0

    def stop(self) -> None:
        """Asks it to stop after the present row; may be called from a signal handler."""
        self.stopping.set()

    def run(self) -> None:
        """Runs until `stop`; waits for a database that is away."""
        with vitals.loop("sweeper"):
            while not self.stopping.is_set():
                try:
                    self._patrol()
                except (Error, psycopg.Error) as error:
                    self._failures += 1
                    self._lost.make(str(error))
                    connection.close()
                    vitals.beat()
                    self.stopping.wait(backoff(self._failures))
        connection.close()

    def _patrol(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"LISTEN {agreement.ORPHANS_CHANNEL}")
        while not self.stopping.is_set():
            sweeping.sweep(self.stopping.is_set)
            self._failures = 0
            self._lost.over()
            self._wait()

    def _wait(self) -> None:
        session: Any = connection.connection
        for _ in range(int(PATROL_SECONDS / BREATH_SECONDS)):
            vitals.beat()
            if self.stopping.is_set() or list(session.notifies(timeout=BREATH_SECONDS, stop_after=1)):
                return
