"""The right to act: a row names the session that has it, and counts no more once that session is gone.

Note "a row, not a lock": any role that may connect can take an advisory lock, and would stop every verb with it. Only
the schema's owner can write the row. The row names a session by its process and by when that began, so it dies with
the session, however the session ends: with its client, by idle_session_timeout, a restart or another server's
promotion. No transaction stays open for it: that would hold back vacuum, and a new slot would wait for its end.

A version of the tool that knows only advisory locks does not see the row. Then the epochs keep two coordinators apart,
for each epoch is given out once, by compare-and-set.
"""

from __future__ import annotations

from datetime import datetime

from strangler.adapters.postgres.session.connection import Connection, scalar

BEGAN = "SELECT backend_start FROM pg_stat_get_activity(pg_backend_pid())"
# A role without pg_read_all_stats does not see when a process began: then any process of this database with that number
# counts as the holder.
ALIVE = """
EXISTS (SELECT FROM pg_stat_get_activity(l.pid) a
        WHERE a.pid = l.pid AND a.datid = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
          AND (a.backend_start = l.began OR a.backend_start IS NULL))
"""
# Sessions are read after the row has been locked, when the holder before has committed. Nothing may read them earlier,
# for a transaction keeps its first view of them. The commit need not be flushed: a crash ends all sessions.
TAKE = """
INSERT INTO strangler.lease AS l (name, pid, began, holder)
SELECT %(name)s, pg_backend_pid(), %(began)s, %(holder)s FROM set_config('synchronous_commit', 'off', true)
ON CONFLICT (name) DO UPDATE SET pid = excluded.pid, began = excluded.began, holder = excluded.holder
WHERE l.pid IS NULL OR (l.pid = excluded.pid AND l.began = excluded.began) OR NOT ALIVE
""".replace("ALIVE", ALIVE)
GIVE = """
UPDATE strangler.lease SET pid = NULL, began = NULL, holder = ''
WHERE name = %s AND pid = pg_backend_pid() AND began = %s AND set_config('synchronous_commit', 'off', true) = 'off'
"""
HELD = """
SELECT EXISTS (SELECT FROM strangler.lease WHERE name = %s AND pid = pg_backend_pid() AND began = %s)
"""
HOLDER = "SELECT l.holder FROM strangler.lease l WHERE l.name = %s AND l.pid IS NOT NULL AND ALIVE".replace(
    "ALIVE", ALIVE
)


class Leases:
    """The leases that one session has, or tries to take."""

    def __init__(self, connection: Connection, holder: str) -> None:
        self._connection = connection
        self._holder = holder
        self._began: datetime = scalar(connection, BEGAN)

    def take(self, name: str) -> bool:
        """Takes the lease if it is free or ours already; returns whether it is ours now.

        Raises:
            psycopg.errors.UndefinedTable: the schema has not been installed, or an older version has installed it.
        """
        values = {"name": name, "began": self._began, "holder": self._holder}
        return self._connection.execute(TAKE, values).rowcount == 1

    def has(self, name: str) -> bool:
        """Whether it is ours."""
        return bool(scalar(self._connection, HELD, name, self._began))

    def give(self, name: str) -> None:
        """Gives it back, if it is ours."""
        self._connection.execute(GIVE, (name, self._began))

    def holder(self, name: str) -> str:
        """The name of the present holder; empty if there is none."""
        return str(scalar(self._connection, HOLDER, name) or "")
