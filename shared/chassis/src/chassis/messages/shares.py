"""Which lanes a relay works: several relays share them, and the lanes of a relay that died are free at once.

A lane is a lease of the relay's session (see `chassis.database.leases`), so it ends with the session, whatever ends the
session.

Note "relays of a version before": they know advisory locks alone, one per lane, and one that all relays share. This
relay takes these locks, too, where they are free. Where another session of the same role has the lock of a lane, the
lane is left to that session. Sessions of other roles do not count: anybody may take such a lock, and must not stop a
relay by it.
"""

from __future__ import annotations

import time

from django.db import connection

from chassis.database import leases
from chassis.database.leases import Session
from chassis.messages.outbox import LANES

CLASS = 0x6F757462  # the class of the advisory locks: any number that nothing else in the database uses
MEMBER = LANES  # the lock that all relays share, besides one per lane
LOOK_SECONDS = 1.0
PREFIX = "relay lane "

# The relay that comes first changes a lease, and a snapshot from before would not show that.
COMMITTED = "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED"
JOIN = "SELECT pg_try_advisory_lock_shared(%s, %s)"
LOCK = "SELECT pg_try_advisory_lock(%s, %s)"
UNLOCK = "SELECT pg_advisory_unlock(%s, %s)"
LOCKED = """
SELECT l.objid::int, l.pid FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'advisory' AND l.classid = %s AND l.objsubid = 2 AND l.granted AND a.usesysid::bigint = %s
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


class Share:
    """The lanes that this session holds. Call it only between two batches, so that a lane in use is never given up."""

    def __init__(self) -> None:
        self.lanes: set[int] = set()
        self._session: Session | None = None
        self._locked: set[int] = set()
        self._looked = float("-inf")

    def forget(self) -> None:
        """The session is gone, and with it the lanes that it held."""
        self.lanes.clear()
        self._session = None
        self._locked.clear()
        self._looked = float("-inf")

    def balance(self) -> None:
        """Takes or gives up lanes towards a fair share, once per `LOOK_SECONDS`; raises the database's errors."""
        if time.monotonic() - self._looked < LOOK_SECONDS:
            return
        session = self._session or self._begin()
        if MEMBER not in self._locked:
            self._lock(JOIN, MEMBER)
        others, members = self._look(session)
        fair = -(-LANES // members)
        for lane in self.lanes & others:
            self._give(lane, session)
        while len(self.lanes) > fair:
            self._give(next(iter(self.lanes)), session)
        for lane in range(LANES):
            if lane not in self.lanes | others and len(self.lanes) < fair and leases.take(f"{PREFIX}{lane}", session):
                self.lanes.add(lane)
        for lane in self.lanes - self._locked:
            self._lock(LOCK, lane)
        self._looked = time.monotonic()

    def _begin(self) -> Session:
        with connection.cursor() as cursor:
            cursor.execute(COMMITTED)
        self._session = leases.this_session()
        return self._session

    def _look(self, session: Session) -> tuple[set[int], int]:
        """The lanes that other relays have, and how many relays there are."""
        held = {int(name.removeprefix(PREFIX)): pid for name, pid in leases.holders(PREFIX).items()}
        # If a lease of this relay was deleted by others, nobody has it, and nobody has its lane.
        self.lanes &= {lane for lane, pid in held.items() if pid == session.pid}
        with connection.cursor() as cursor:
            cursor.execute(LOCKED, (CLASS, session.role))
            locks = cursor.fetchall()
        others = {lane for lane, pid in [*held.items(), *locks] if pid != session.pid and lane != MEMBER}
        members = {session.pid, *held.values()} | {pid for _, pid in locks}
        return others, len(members)

    def _lock(self, how: str, number: int) -> None:
        """Serves relays of a version before; a lock that is not free has no consequence here."""
        with connection.cursor() as cursor:
            cursor.execute(how, (CLASS, number))
            if cursor.fetchone()[0]:
                self._locked.add(number)

    def _give(self, lane: int, session: Session) -> None:
        self.lanes.discard(lane)
        leases.give(f"{PREFIX}{lane}", session)
        if lane in self._locked:
            self._locked.discard(lane)
            with connection.cursor() as cursor:
                cursor.execute(UNLOCK, (CLASS, lane))
