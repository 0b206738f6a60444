"""Brings the addresses that a move has noted in the databases to what the configuration says now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.types.json import Jsonb

from strangler.adapters.postgres.preflight import preflight
from strangler.adapters.postgres.session.connection import Connection, scalar
from strangler.adapters.postgres.streams.leading import lead
from strangler.adapters.postgres.streams.streams import Stream

READABLE = "SELECT has_column_privilege('pg_subscription', 'subconninfo', 'SELECT')"
WRITTEN = """
SELECT subconninfo FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid AND d.datname = current_database()
WHERE s.subname = %s
"""
ACTIVE = "SELECT active FROM pg_replication_slots WHERE slot_name = %s AND database = current_database()"
OUTDATED = """
SELECT EXISTS (SELECT FROM strangler.side
               WHERE capability = %(capability)s AND (peer_url, routes) IS DISTINCT FROM (%(peer_url)s, %(routes)s))
"""
UPDATE = "UPDATE strangler.side SET peer_url = %(peer_url)s, routes = %(routes)s WHERE capability = %(capability)s"


def lead_to_publisher(subscriber: Connection, publisher: Connection, stream: Stream, *, first: bool) -> bool:
    """Gives a subscription the publisher's present address; returns whether it had another.

    Only a superuser can read the present one. With any other role a stream that does not run gets the address on the
    ``first`` look: this does it no harm.

    Raises:
        PreflightError: the subscriber's server cannot reach the present address; the subscription keeps its old one.
    """
    name = stream.subscribed_as(subscriber)
    if name is None:
        return False
    if scalar(subscriber, READABLE):
        written = scalar(subscriber, WRITTEN, name)
        if conninfo_to_dict(written) == conninfo_to_dict(stream.publisher):
            return False
    elif not first or scalar(publisher, ACTIVE, name):
        return False
    with preflight.announced(publisher, name):
        preflight.reachable(subscriber, stream.publisher, name)
    lead(
        subscriber,
        sql.SQL("ALTER SUBSCRIPTION {} CONNECTION %L").format(sql.Identifier(name)),
        stream.publisher,
    )
    return True


@dataclass(frozen=True, slots=True)
class Known:
    """What a side knows about a capability besides its own state: the other side's process, and the routes."""

    capability: str
    peer_url: str
    routes: Sequence[Mapping[str, object]]


def lead_to_peer(connection: Connection, known: Known) -> bool:
    """Writes this into the side's row; returns whether the row had something else."""
    present = {"capability": known.capability, "peer_url": known.peer_url, "routes": Jsonb(list(known.routes))}
    # The row is read first, for an update wakes every request that waits here, even if it changes nothing.
    if connection.execute(OUTDATED, present).fetchone() != (True,):
        return False
    connection.execute(UPDATE, present)
    return True
