"""Heartbeats: markers that say how far the owner's log had come, for a copy that answers reads.

Each takes the place of the one before, in one transaction: so a copy always sees one, and never many.
"""

from __future__ import annotations

from uuid import UUID

from strangler.adapters.postgres.session.connection import Connection
from strangler.domain.position import Position, as_id, read_id

# By the timeline on which the log is being written, which a checkpoint has perhaps not noted yet.
POSITION = """
SELECT substr(pg_walfile_name(at), 1, 8), pg_wal_lsn_diff(at, '0/0')::text FROM pg_current_wal_insert_lsn() at
"""
WRITE = """
WITH gone AS (DELETE FROM strangler.marker WHERE capability = %s AND substr(id::text, 15, 1) = '8')
INSERT INTO strangler.marker (capability, id) VALUES (%s, %s)
"""
NEWEST = """
SELECT id, extract(epoch FROM clock_timestamp() - written_at)::float8 FROM strangler.marker
WHERE capability = %s AND substr(id::text, 15, 1) = '8'
"""


def position(connection: Connection, epoch: int) -> Position:
    """Where the log ends now."""
    row = connection.execute(POSITION).fetchone()
    assert row is not None
    return Position(epoch, int(row[0], 16), int(row[1]))


def beat(connection: Connection, capability: str, epoch: int) -> None:
    """The position is that before the heartbeat's own commit; so who sees it sees all that was committed before."""
    connection.execute(WRITE, (capability, capability, as_id(position(connection, epoch))))


def newest(connection: Connection, capability: str, epoch: int) -> tuple[Position, float] | None:
    """The youngest heartbeat of the epoch that can be seen here, and its age in seconds."""
    found: list[tuple[UUID, float]] = connection.execute(NEWEST, (capability,)).fetchall()
    beats = [(read_id(id), age) for id, age in found]
    own = [(at, age) for at, age in beats if (at.epoch ^ epoch) & 0xFFFFFF == 0]
    return min(own, key=lambda each: each[1], default=None)
