"""The right to be the one that works, of several: an advisory lock of a session in the ledger's database."""

from __future__ import annotations

from strangler.adapters.postgres.connection import Connection, connect, scalar

# A holder that stands still, though its connection lives, gives it up after so long.
STILL_MS = 5000
# Not the space of the moves' locks: a capability may bear any name.
KEYS = "hashtext('strangler lease'), hashtext(%s)"
TAKE = f"SELECT pg_try_advisory_lock({KEYS})"
# A key is a signed number, and pg_locks shows it as an unsigned one.
HOLDER = """
SELECT a.application_name FROM pg_locks l JOIN pg_stat_activity a USING (pid)
JOIN pg_database d ON d.oid = l.database AND d.datname = current_database()
WHERE l.locktype = 'advisory' AND l.granted
  AND l.classid::bigint = hashtext('strangler lease')::bigint & 4294967295
  AND l.objid::bigint = hashtext(%s)::bigint & 4294967295
"""


class PostgresLease:
    """The lease ``name``, for a holder that is called ``holder``; nothing is connected before it is asked for."""

    def __init__(self, dsn: str, name: str, holder: str) -> None:
        self.held = False
        self._dsn = dsn
        self._name = name
        self._holder = holder
        self._connection: Connection | None = None

    def keep(self) -> bool:
        """Takes the lease where it is free, and keeps it; whether it is held. To be called every second or so.

        Raises:
            StranglerError: the server is away, and with it the lease.
        """
        try:
            connection = self._session()
            if self.held:
                connection.execute("SELECT 1")
            else:
                self.held = bool(scalar(connection, TAKE, self._name))
        except BaseException:
            self.give_up()
            raise
        return self.held

    def holder(self) -> str:
        """By what name whoever holds it is known; nothing where nobody does, or it may not be known."""
        return str(scalar(self._session(), HOLDER, self._name) or "").removeprefix("strangler ")

    def give_up(self) -> None:
        """Ends the session, and with it the lease."""
        self.held = False
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _session(self) -> Connection:
        if self._connection is None or self._connection.closed:
            # The lease of a session before this one is somebody else's by now.
            self.held = False
            self._connection = connect(self._dsn, purpose=self._holder)
            self._connection.execute(f"SET idle_session_timeout = {STILL_MS}")
        return self._connection
