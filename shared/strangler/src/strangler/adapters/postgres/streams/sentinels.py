"""Checks whether a stream that stood still has gone on where it had stopped.

Note "moved by hand": ``pg_replication_slot_advance`` at the sender, or ``pg_replication_origin_advance`` at the
receiver, takes a stream past rows that it has not carried, and leaves no trace once it runs again. So a marker is
written while the stream stands still: if a later marker arrives without this one, something was passed over.
"""

from __future__ import annotations

from uuid import uuid4

from strangler.adapters.postgres.schema import markers
from strangler.adapters.postgres.session.connection import Connection, scalar
from strangler.adapters.postgres.streams.streams import Stream

ARRIVE_SECONDS = 1.0
ACTIVE = "SELECT active FROM pg_replication_slots WHERE slot_name = %s AND database = current_database()"


def look(stream: Stream, sender: Connection, receiver: Connection, known: str | None) -> tuple[str | None, bool]:
    """The marker to look for next time, and whether the stream has passed one over.

    ``known`` is the marker that the last look returned.
    """
    active = scalar(sender, ACTIVE, stream.subscribed_as(receiver) or stream.name)
    if not active and known is None:
        known = str(uuid4())
        sender.execute(markers.KEEP, (stream.capability, known))
    if not active or known is None:
        return known, False
    mark = (stream.capability, known)
    arrived = scalar(receiver, markers.ARRIVED, *mark)
    if not arrived:
        if not markers.pass_through(sender, receiver, stream.capability, within=ARRIVE_SECONDS):
            return known, False
        # It may have arrived together with the other.
        arrived = scalar(receiver, markers.ARRIVED, *mark)
    sender.execute(markers.TAKE_AWAY, mark)
    return None, not arrived
