"""Publications, slots and subscriptions: one direction of logical replication between the sides."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql

from strangler.adapters.postgres.session.connection import Connection, connect, describe, scalar
from strangler.adapters.postgres.streams import waiting
from strangler.adapters.postgres.streams.leading import lead
from strangler.adapters.postgres.tables.catalog import Table
from strangler.domain import names
from strangler.domain.errors import MoveError, PreflightError
from strangler.domain.move import StreamState
from strangler.ports.replication import Patience

log = logging.getLogger(__name__)

SLOT = """
SELECT s.active, {lost},
       pg_wal_lsn_diff(pg_current_wal_flush_lsn(), s.confirmed_flush_lsn)::bigint,
       pg_wal_lsn_diff(pg_current_wal_flush_lsn(), s.restart_lsn)::bigint,
       extract(epoch FROM r.replay_lag)::float8
FROM pg_replication_slots s LEFT JOIN pg_stat_replication r ON r.pid = s.active_pid
WHERE s.slot_name = %s AND s.database = current_database()
"""
# The subscriptions of all databases of a server are in one catalog.
PRESENT = """
SELECT 1 FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid AND d.datname = current_database()
WHERE s.subname = %s
"""
SUBSCRIPTION = """
SELECT bool_and(coalesce(r.srsubstate = 'r', true)), max(t.apply_error_count)
FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid AND d.datname = current_database()
LEFT JOIN pg_subscription_rel r ON r.srsubid = s.oid LEFT JOIN pg_stat_subscription_stats t ON t.subid = s.oid
WHERE s.subname = %s AND s.subenabled GROUP BY s.oid
"""
READS = PRESENT.replace("SELECT 1", "SELECT s.subslotname")
MADE = """
SELECT 1 FROM pg_publication WHERE pubname = %s
AND EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = %s AND plugin = 'pgoutput' AND NOT temporary)
"""
ELSEWHERE = """
SELECT coalesce('the database ' || database || '''s', 'a physical one') FROM pg_replication_slots
WHERE slot_name = %s AND database IS DISTINCT FROM current_database()
"""
DROP_SECONDS = 0.001  # between two tries to drop a slot
ENDING_SECONDS = 15.0  # within which a walsender should release its slot


@dataclass(frozen=True, slots=True)
class Stream:
    """``capability`` in one direction, from ``database`` at ``publisher``, a DSN that the subscriber's server can use.

    Slots belong to the server: each is looked up by its name and the database of the session.
    """

    capability: str
    direction: str
    publisher: str
    database: str

    @property
    def name(self) -> str:
        """The name of publication, slot and subscription."""
        return names.stream(self.database, self.capability, self.direction)

    @property
    def known_as(self) -> tuple[str, str]:
        """The same, and the name that a move has if it began before names had a database in them."""
        return self.name, names.stream_before(self.capability, self.direction)

    def subscribed_as(self, subscriber: Connection) -> str | None:
        """The subscription's name, if there is one."""
        return next((name for name in self.known_as if scalar(subscriber, PRESENT, name)), None)

    def broken(self, publisher: Connection, subscriber: Connection) -> bool:
        """Whether the subscription, its slot or its publication is gone, or is not the one that it should be."""
        name = self.subscribed_as(subscriber)
        if name is None or scalar(subscriber, READS, name) != name:
            return True
        slot = publisher.execute(self._slot(publisher), (name,)).fetchone()
        return slot is None or bool(slot[1]) or scalar(publisher, MADE, name, name) is None

    def require_free(self, publisher: Connection) -> None:
        """Refuses if another database of the server has a slot of this name.

        Raises:
            PreflightError: naming that database.
        """
        row = publisher.execute(ELSEWHERE, (self.name,)).fetchone()
        if row is not None:
            raise PreflightError(
                f"the slot {self.name} of this server is {row[0]}",
                place=describe(publisher.info.dsn),
                remedy="see who made it, and drop it with pg_drop_replication_slot where nobody needs it",
                id="slot-of-others",
            )

    def publish(self, connection: Connection, tables: Sequence[Table]) -> None:
        """Creates the publication on the publisher; it includes this capability's rows of the marker table."""
        connection.execute(sql.SQL("DROP PUBLICATION IF EXISTS {}").format(sql.Identifier(self.name)))
        connection.execute(
            sql.SQL(
                "CREATE PUBLICATION {} FOR TABLE {}, strangler.marker WHERE (capability = {}) "
                "WITH (publish = 'insert, update, delete')"
            ).format(
                sql.Identifier(self.name),
                sql.SQL(", ").join(table.sql() for table in tables if not table.partitioned),
                sql.Literal(self.capability),
            )
        )

    def create_slot(self, connection: Connection, watch: Connection) -> None:
        """Makes a slot that begins now, in an ordinary session of the publisher; ``watch`` is another such session.

        Raises:
            MoveError: a transaction of that server does not end.
        """
        statement = sql.SQL("SELECT pg_create_logical_replication_slot({}, 'pgoutput')").format(sql.Literal(self.name))
        waiting.made(connection, statement, watch=watch, patience=Patience(waiting.AFTER_THE_COPY_SECONDS, log.warning))

    @contextmanager
    def exported_slot(self, watch: Connection, patience: Patience) -> Iterator[str]:
        """Creates the slot and yields the name of the snapshot it starts from.

        The snapshot can be imported for as long as the context is open. ``watch`` is a session of the publisher.

        Raises:
            MoveError: a transaction of that server does not end.
        """
        session = connect(self.publisher, purpose=f"export {self.capability}", idle_ms=0, replication=True)
        try:
            statement = sql.SQL("CREATE_REPLICATION_SLOT {} LOGICAL pgoutput (SNAPSHOT 'export')").format(
                sql.Identifier(self.name)
            )
            yield waiting.made(session, statement, watch=watch, patience=patience)[2]
        finally:
            session.close()

    def subscribe(self, connection: Connection) -> None:
        """Creates the subscription from the slot's position; it does not carry rows that came by a stream."""
        try:
            lead(
                connection,
                sql.SQL(
                    "CREATE SUBSCRIPTION {} CONNECTION %L PUBLICATION {} WITH "
                    "(slot_name = {}, create_slot = false, copy_data = false, origin = none, enabled = true)"
                ).format(sql.Identifier(self.name), sql.Identifier(self.name), sql.Literal(self.name)),
                self.publisher,
            )
        except psycopg.errors.InsufficientPrivilege as error:
            raise PreflightError(
                "this role may not create subscriptions",
                place=describe(connection.info.dsn),
                remedy="grant pg_create_subscription to it and CREATE on the database",
                id="rights-missing",
            ) from error

    def unsubscribe(self, connection: Connection) -> None:
        """Removes the subscription, if it is there, without speaking to the publisher."""
        while present := self.subscribed_as(connection):
            name = sql.Identifier(present)
            connection.execute(sql.SQL("ALTER SUBSCRIPTION {} DISABLE").format(name))
            connection.execute(sql.SQL("ALTER SUBSCRIPTION {} SET (slot_name = NONE)").format(name))
            connection.execute(sql.SQL("DROP SUBSCRIPTION {}").format(name))

    def withdraw(self, connection: Connection) -> None:
        """Removes slot and publication on the publisher, if they are there.

        Raises:
            MoveError: when a walsender does not release the slot.
        """
        for name in self.known_as:
            self._withdraw(connection, name)

    @staticmethod
    def _withdraw(connection: Connection, name: str) -> None:
        deadline = time.monotonic() + ENDING_SECONDS
        while not _drop_slot(connection, name):
            if time.monotonic() >= deadline:
                raise MoveError(
                    f"the slot {name} is still in use",
                    place=describe(connection.info.dsn),
                    remedy="see pg_replication_slots for who holds it, then run the command again",
                )
            time.sleep(DROP_SECONDS)
        connection.execute(sql.SQL("DROP PUBLICATION IF EXISTS {}").format(sql.Identifier(name)))

    @staticmethod
    def _slot(publisher: Connection) -> bytes:
        # From 17 on a slot can also be invalidated for other reasons than missing WAL.
        lost = "s.wal_status = 'lost'"
        if publisher.info.server_version >= 170000:
            lost += " OR s.invalidation_reason IS NOT NULL"
        return SLOT.replace("{lost}", lost).encode()

    def state(self, publisher: Connection, subscriber: Connection) -> StreamState:
        """The stream's state, as both ends report it now."""
        name = self.subscribed_as(subscriber) or self.name
        slot = publisher.execute(self._slot(publisher), (name,)).fetchone()
        subscription = subscriber.execute(SUBSCRIPTION, (name,)).fetchone()
        if slot is None or subscription is None:
            # A subscription gets nothing any more if its slot is gone, or belongs to another database by now.
            taken = slot is None and subscription is not None
            return StreamState(self.direction, exists=slot is not None or subscription is not None, lost=taken)
        active, gone, lag, retained, seconds = slot
        return StreamState(
            self.direction,
            exists=True,
            active=bool(active),
            ready=bool(subscription[0]),
            lost=bool(gone),
            lag_bytes=max(lag or 0, 0),
            lag_seconds=seconds or 0.0,
            retained_bytes=retained,
            errors=subscription[1] or 0,
        )


def _drop_slot(connection: Connection, name: str) -> bool:
    """Whether the slot is gone. A subscriber that is still there connects again at once, so its walsender is ended with
    each try: the slot is dropped between two of them."""
    slot = "FROM pg_replication_slots WHERE slot_name = %s AND database = current_database()"
    connection.execute(f"SELECT pg_terminate_backend(active_pid) {slot} AND active_pid IS NOT NULL", (name,))
    try:
        connection.execute(f"SELECT pg_drop_replication_slot(slot_name) {slot}", (name,))
    except psycopg.errors.ObjectInUse:
        return False
    return True
