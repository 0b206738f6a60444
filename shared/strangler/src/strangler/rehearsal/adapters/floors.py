"""What a pause cannot do without, measured on both servers under the traffic of now."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import closing

import psycopg

from strangler.adapters.postgres.schema import markers
from strangler.adapters.postgres.session.connection import Connection, connect, scalar
from strangler.adapters.postgres.tables import locks
from strangler.domain.project import MONOLITH, SERVICE
from strangler.rehearsal.ports import Floors

TIMES = 7
ARRIVES_SECONDS = 3.0
OWNER = "SELECT open FROM strangler.side WHERE capability = %s"
TABLES = "SELECT strangler.lock_order(tables) FROM strangler.side WHERE capability = %s"
# A write of the schema's own that wakes nobody: the commit flushes it.
WRITE = "UPDATE strangler.side SET prepared = prepared WHERE capability = %s"


class PostgresFloors(Floors):
    """``dsn`` gives the address of a capability's side."""

    def __init__(self, dsn: Callable[[str, str], str]) -> None:
        self._dsn = dsn

    def measure(self, capability: str) -> float | None:
        """In sessions of its own; the first round is not counted, for it plans its statements."""
        sessions = {side: connect(self._dsn(capability, side), purpose="floor") for side in (MONOLITH, SERVICE)}
        with closing(sessions[MONOLITH]), closing(sessions[SERVICE]):
            owner = MONOLITH if scalar(sessions[MONOLITH], OWNER, capability) else SERVICE
            here, there = sessions[owner], sessions[SERVICE if owner == MONOLITH else MONOLITH]
            try:
                found = [self._once(here, there, capability) for _ in range(1 + TIMES)][1:]
            except psycopg.Error:
                return None  # a figure is no reason to end a rehearsal
        taken = [each for each in found if each is not None]
        return statistics.median(taken) if taken else None

    @staticmethod
    def _once(here: Connection, there: Connection, capability: str) -> float | None:
        tables = scalar(here, TABLES, capability)
        lock = f"LOCK TABLE {', '.join(f'ONLY {table}' for table in tables)} IN SHARE ROW EXCLUSIVE MODE"
        began = time.perf_counter()
        try:
            with locks.attempt(here, locks.attempt_ms(here)):
                here.execute(lock.encode())
                here.execute(WRITE, (capability,))
        except locks.NOT_FREE:
            return None
        if not markers.pass_through(here, there, capability, within=ARRIVES_SECONDS):
            return None
        there.execute(WRITE, (capability,))
        return (time.perf_counter() - began) * 1000
