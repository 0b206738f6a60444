"""Rows whose arrival on the other side proves that all before them has arrived."""

from __future__ import annotations

from uuid import uuid4

from strangler.adapters.postgres.session.connection import Connection, wait_until


def pass_through(here: Connection, there: Connection, capability: str, *, within: float) -> bool:
    """Writes a marker here and waits until it is there; False when it is not in time. Old ones are removed."""
    marker = uuid4()
    here.execute(
        "DELETE FROM strangler.marker WHERE capability = %s AND written_at < now() - interval '1 hour'", (capability,)
    )
    here.execute("INSERT INTO strangler.marker (capability, id) VALUES (%s, %s)", (capability, marker))
    arrived = "SELECT EXISTS (SELECT FROM strangler.marker WHERE capability = %s AND id = %s)"
    return wait_until(there, arrived, (capability, marker), within=within)
