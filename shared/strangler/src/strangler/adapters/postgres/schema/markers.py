"""Rows whose arrival on the other side proves that all before them has arrived."""

from __future__ import annotations

from uuid import UUID, uuid4

from strangler.adapters.postgres.session.connection import Connection, wait_until

WRITE = "INSERT INTO strangler.marker (capability, id) VALUES (%s, %s)"
ARRIVED = "SELECT EXISTS (SELECT FROM strangler.marker WHERE capability = %s AND id = %s)"
FORGET_OLD = "DELETE FROM strangler.marker WHERE capability = %s AND written_at < now() - interval '1 hour'"
# FORGET_OLD never removes a marker that KEEP has written; it stays until TAKE_AWAY.
KEEP = "INSERT INTO strangler.marker (capability, id, written_at) VALUES (%s, %s, 'infinity')"
TAKE_AWAY = "DELETE FROM strangler.marker WHERE capability = %s AND id = %s"


def pass_through(here: Connection, there: Connection, capability: str, *, within: float) -> bool:
    """Writes a marker here and waits until it is there; False if it does not arrive in time. Old markers are
    removed."""
    marker = uuid4()
    here.execute(FORGET_OLD, (capability,))
    here.execute(WRITE, (capability, marker))
    return arrives(there, capability, marker, within=within)


def arrives(there: Connection, capability: str, marker: UUID, *, within: float) -> bool:
    """Waits until a marker of the other side is here; False if it does not arrive in time."""
    return wait_until(there, ARRIVED, (capability, marker), within=within)


def forget(connection: Connection, capability: str) -> None:
    """Removes all markers here: those of an earlier move prove nothing."""
    connection.execute("DELETE FROM strangler.marker WHERE capability = %s", (capability,))
