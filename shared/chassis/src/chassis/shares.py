"""Which lanes a relay works: several relays share them, and the lanes of one that died are free at once.

A lane is an advisory lock of the relay's session, so it ends with the session, whatever ends that. Each relay also
holds one lock that all of them share; who counts its holders knows how many lanes are a fair share.
"""

from __future__ import annotations

import time

from django.db import connection

from chassis.outbox import LANES

CLASS = 0x6F757462  # of this table's locks; any number that nothing else in the database uses
MEMBER = LANES  # the lock that all share, beside one a lane
LOOK_EVERY = 1.0

JOIN = "SELECT pg_advisory_lock_shared(%s, %s)"
MEMBERS = """
SELECT count(DISTINCT pid) FROM pg_locks
WHERE locktype = 'advisory' AND classid = %s AND objid = %s AND objsubid = 2 AND granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
TAKE = "SELECT pg_try_advisory_lock(%s, %s)"
GIVE = "SELECT pg_advisory_unlock(%s, %s)"


class Share:
    """The lanes that this session holds. To be called between two batches only: a lane in use is never given up."""

    def __init__(self) -> None:
        self.lanes: set[int] = set()
        self._joined = False
        self._looked = float("-inf")

    def forget(self) -> None:
        """The session is gone, and the locks with it."""
        self.lanes.clear()
        self._joined = False
        self._looked = float("-inf")

    def balance(self) -> None:
        """Takes or gives lanes towards a fair share, once in `LOOK_EVERY` seconds; raises the database's errors."""
        if time.monotonic() - self._looked < LOOK_EVERY:
            return
        with connection.cursor() as cursor:
            if not self._joined:
                cursor.execute(JOIN, (CLASS, MEMBER))
                self._joined = True
            cursor.execute(MEMBERS, (CLASS, MEMBER))
            fair = -(-LANES // max(1, cursor.fetchone()[0]))
            while len(self.lanes) > fair:
                cursor.execute(GIVE, (CLASS, self.lanes.pop()))
            for lane in range(LANES):
                if len(self.lanes) < fair and lane not in self.lanes:
                    cursor.execute(TAKE, (CLASS, lane))
                    if cursor.fetchone()[0]:
                        self.lanes.add(lane)
        self._looked = time.monotonic()
