"""The right to be the one of several processes that works: a lease of a session in the ledger's database."""

from __future__ import annotations

import psycopg

from strangler.adapters.postgres.schema import installing, owners
from strangler.adapters.postgres.schema.leases import Leases
from strangler.adapters.postgres.session.connection import Connection, connect

# A holder that stands still for so long loses the lease, even if its connection lives.
STILL_MS = 5000


class PostgresLease:
    """The lease ``name``, for the holder named ``holder``; it connects only when it is asked for the lease."""

    def __init__(self, dsn: str, name: str, holder: str) -> None:
        self.held = False
        self._dsn = dsn
        self._name = name
        self._holder = holder
        self._connection: Connection | None = None
        self._leases: Leases | None = None

    def keep(self) -> bool:
        """Takes the lease if it is free, and keeps it; returns whether it is held. To be called about once per second.

        Raises:
            StranglerError: the server is away, and with it the lease; or the schema belongs to somebody else.
        """
        try:
            leases = self._session()
            self.held = (self.held and leases.has(self._name)) or leases.take(self._name)
        except BaseException:
            self.give_up()
            raise
        return self.held

    def holder(self) -> str:
        """The name of the present holder; empty if there is none."""
        return self._session().holder(self._name)

    def give_up(self) -> None:
        """Ends the session, and with it the lease."""
        self.held = False
        self._leases = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _session(self) -> Leases:
        if self._leases is None or self._connection is None or self._connection.closed:
            # The lease of an earlier session may belong to another holder by now.
            self.held = False
            self._connection = owners.trusted(connect(self._dsn, purpose=self._holder))
            self._connection.execute(f"SET idle_session_timeout = {STILL_MS}")
            self._leases = Leases(self._connection, self._holder)
            try:
                self._leases.holder(self._name)
            except psycopg.errors.UndefinedTable:
                installing.install_ledger(self._connection)
        return self._leases
