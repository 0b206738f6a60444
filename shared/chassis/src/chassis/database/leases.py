"""What one session at a time may do, and what one transaction at a time may do.

Note "no lock that anybody may take": every role that may connect to a database may take any advisory lock in it, and
would stop all that wait for that lock. So the right to act is a row of a table that only the application may write. A
lease bears the process id and the beginning of its session. It ends with the session, whatever ends the session: there
is no clock in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from zlib import crc32

from django.db import connection

TURNS = 1024

WHO = "SELECT pid, usesysid::bigint, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"
# This role cannot see when another role's session began, but it can see that the session lives. The look for the holder
# comes after the row is locked, so of two sessions that try at once the second sees the first.
TAKE = """
INSERT INTO chassis_lease AS held (name, pid, role, started_at) VALUES (%s, %s, %s, %s)
ON CONFLICT (name) DO UPDATE SET pid = excluded.pid, role = excluded.role, started_at = excluded.started_at
WHERE (held.pid, held.started_at) = (excluded.pid, excluded.started_at) OR NOT EXISTS (
    SELECT FROM pg_stat_activity a WHERE a.pid = held.pid AND a.usesysid::bigint = held.role
      AND (a.backend_start IS NULL OR a.backend_start = held.started_at))
"""
GIVE = "DELETE FROM chassis_lease WHERE name = %s AND pid = %s AND started_at = %s"
HOLDERS = """
SELECT held.name, held.pid FROM chassis_lease held
JOIN pg_stat_activity a ON a.pid = held.pid AND a.usesysid::bigint = held.role
WHERE starts_with(held.name, %s) AND (a.backend_start IS NULL OR a.backend_start = held.started_at)
"""
TURN = "SELECT FROM chassis_lease WHERE name = %s FOR {}"
MAKE_TURN = "INSERT INTO chassis_lease (name) VALUES (%s) ON CONFLICT DO NOTHING"


@dataclass(frozen=True, slots=True)
class Session:
    """A session of the database; its ``role`` is the one that logged in."""

    pid: int
    role: int
    started_at: datetime


def this_session() -> Session:
    """The session of Django's connection in this thread."""
    with connection.cursor() as cursor:
        cursor.execute(WHO)
        return Session(*cursor.fetchone())


def take(name: str, session: Session) -> bool:
    """Takes the lease unless a living session has it; returns whether this session has it now."""
    with connection.cursor() as cursor:
        cursor.execute(TAKE, (name, session.pid, session.role, session.started_at))
        return bool(cursor.rowcount)


def give(name: str, session: Session) -> None:
    """Gives the lease back, where this session has it."""
    with connection.cursor() as cursor:
        cursor.execute(GIVE, (name, session.pid, session.started_at))


def holders(prefix: str) -> dict[str, int]:
    """By name, for leases whose names begin with ``prefix``: the process ids of the living sessions that have them."""
    with connection.cursor() as cursor:
        cursor.execute(HOLDERS, (prefix,))
        return dict(cursor.fetchall())


def turn(key: str, *, shared: bool = False) -> None:
    """Waits until no other transaction has the key's turn, and has it until this one ends.

    Transactions that share a turn have it together. Keys share a thousand rows, so sometimes a transaction waits for
    another key's turn.

    Raises:
        RuntimeError: outside a transaction, where the turn would be over at once.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("a turn ends with its transaction, and there is none: use transaction.atomic()")
    name = f"turn {crc32(key.encode()) % TURNS}"
    with connection.cursor() as cursor:
        cursor.execute(TURN.format("SHARE" if shared else "UPDATE"), (name,))
        if not cursor.rowcount:
            # The row is made once and stays. A second transaction waits here for the one that makes it.
            cursor.execute(MAKE_TURN, (name,))
            cursor.execute(TURN.format("SHARE" if shared else "UPDATE"), (name,))
