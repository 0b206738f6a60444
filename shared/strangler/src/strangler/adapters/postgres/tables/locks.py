"""Locks on tables that others write: asked for briefly, again and again, for a waiting lock lets no other session
pass.

The function ``strangler.lock_all`` takes all of them, whatever the order is in which others come to them.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg

from strangler.adapters.postgres.session.connection import Connection, describe, scalar, script
from strangler.adapters.postgres.tables.catalog import Table
from strangler.domain.errors import MoveError
from strangler.ports.replication import Patience
from strangler.ports.side import Blocker

TRY_SECONDS = 60.0
SAY_SECONDS = 2.0
SHORTEST_MS = 50
LOCK = "SELECT strangler.lock_all(%s, %s)"
NOT_FREE = (psycopg.errors.QueryCanceled, psycopg.errors.DeadlockDetected, psycopg.errors.LockNotAvailable)
DEADLOCK_MS = "SELECT setting::int FROM pg_settings WHERE name = 'deadlock_timeout'"
BLOCKERS = """
SELECT DISTINCT ON (a.pid) a.pid, coalesce(a.usename, ''), a.application_name, coalesce(a.state, 'unknown'),
       coalesce(extract(epoch FROM clock_timestamp() - a.xact_start), 0)::float8, coalesce(a.query, '')
FROM unnest(%s::text[]) t
JOIN pg_locks l ON l.relation = to_regclass(t) AND l.granted
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
JOIN pg_stat_activity a ON a.pid = l.pid
WHERE a.pid <> pg_backend_pid() AND a.backend_type NOT LIKE 'logical replication %%'
  AND l.mode = ANY (%s)
ORDER BY a.pid, a.xact_start
"""

# No session holds these: they end only when somebody ends them.
PREPARED = """
SELECT p.gid, p.owner::text, max(extract(epoch FROM clock_timestamp() - p.prepared))::float8
FROM unnest(%s::text[]) t
JOIN pg_locks l ON l.relation = t::regclass AND l.granted AND l.pid IS NULL AND l.mode = ANY (%s)
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
JOIN pg_locks x ON x.virtualtransaction = l.virtualtransaction AND x.pid IS NULL AND x.locktype = 'transactionid'
JOIN pg_prepared_xacts p ON p.transaction = x.transactionid
GROUP BY p.gid, p.owner
"""
MODES = [
    "RowExclusiveLock",
    "ShareUpdateExclusiveLock",
    "ShareLock",
    "ShareRowExclusiveLock",
    "ExclusiveLock",
    "AccessExclusiveLock",
]


@dataclass(frozen=True, slots=True)
class Begun:
    """A session's transaction that holds a table, so that a fence has to wait."""

    pid: int
    user: str
    application: str
    state: str
    seconds: float
    query: str

    def __str__(self) -> str:
        who = f"pid {self.pid} ({self.user}{', ' + self.application if self.application else ''})"
        return f"{who}, {self.state} for {self.seconds:.1f} s: {self.query[:120]}"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A prepared transaction that holds a table; it belongs to no session."""

    gid: str
    user: str
    seconds: float

    def __str__(self) -> str:
        return (
            f"the transaction {self.gid!r} ({self.user}), prepared for {self.seconds:.1f} s: "
            f"COMMIT PREPARED or ROLLBACK PREPARED '{self.gid}'"
        )


def blockers(connection: Connection, tables: Sequence[str]) -> list[Blocker]:
    """Transactions of others that hold one of the (qualified) tables in a mode for which a fence waits."""
    prepared = connection.execute(PREPARED, (list(tables), MODES)).fetchall()
    return [
        *(Begun(*row) for row in connection.execute(BLOCKERS, (list(tables), MODES)).fetchall()),
        *(Prepared(*row) for row in prepared),
    ]


def deadlock_ms(connection: Connection) -> int:
    """The server's deadlock_timeout in milliseconds."""
    return int(scalar(connection, DEADLOCK_MS))


def attempt_ms(connection: Connection) -> int:
    """How long one attempt may take, in milliseconds: the sessions that queue behind it go on before the server would
    look for a deadlock and end one of them."""
    return max(SHORTEST_MS, deadlock_ms(connection) // 2)


@contextmanager
def attempt(connection: Connection, statement_ms: int) -> Iterator[None]:
    """A transaction in which no statement takes longer; a statement that would take longer raises NOT_FREE."""
    with connection.transaction():
        connection.execute("SELECT set_config('statement_timeout', %s, true)", (str(statement_ms),))
        yield


def pause(statement_ms: int) -> None:
    """Waits between two attempts: the sessions that had to wait go on for about as long as they had to wait."""
    time.sleep(random.uniform(0.5, 1.0) * statement_ms / 1000)  # noqa: S311  spread, not secrecy


def bring(connection: Connection) -> None:
    """Installs the functions that lock tables, and raise and remove fences, on a side that an older version of the tool
    has installed."""
    if scalar(connection, "SELECT to_regprocedure('strangler.lock_all(text[], text)')") is None:
        connection.execute(script("fence").encode())


def lock(connection: Connection, tables: Sequence[str], mode: str) -> None:
    """Locks the (qualified) tables until the transaction's end; `bring` has been called."""
    connection.execute(LOCK, (list(tables), mode))


@contextmanager
def locked(
    connection: Connection,
    tables: Sequence[Table],
    mode: str,
    patience: Patience | None = None,
    *,
    besides: Sequence[str] = (),
) -> Iterator[None]:
    """A transaction that holds all tables, and those (qualified) ``besides``; one statement locks them.

    Each try ends before a client's session would check for a deadlock, and the sessions behind it then go on. Says now
    and then whom it waits for.

    Raises:
        MoveError: the tables did not become free; the error names the sessions that hold them.
    """
    statement_ms = attempt_ms(connection)
    more = ", or give more time with --timeout" if patience else ""
    patience = patience or Patience(TRY_SECONDS)
    deadline = time.monotonic() + patience.seconds
    say_at = time.monotonic() + SAY_SECONDS
    names = [*(table.qualified for table in tables), *besides]
    bring(connection)
    while True:
        with attempt(connection, statement_ms):
            if _taken(connection, names, mode):
                connection.execute("SELECT set_config('statement_timeout', '0', true)")
                yield
                return
        if time.monotonic() >= min(deadline, say_at):
            say_at = time.monotonic() + SAY_SECONDS
            whom = "".join(f"\n    held by {one}" for one in blockers(connection, names))
            if time.monotonic() >= deadline:
                raise MoveError(
                    f"the tables did not become free within {patience.seconds:g} s{whom}",
                    place=describe(connection.info.dsn),
                    remedy=f"end that transaction and run the command again{more}",
                    id="table-held",
                )
            patience.say(f"waiting for tables at {describe(connection.info.dsn)}{whom}")
        pause(statement_ms)


def _taken(connection: Connection, tables: Sequence[str], mode: str) -> bool:
    try:
        with connection.transaction():
            lock(connection, tables, mode)
    except NOT_FREE:
        return False
    return True
