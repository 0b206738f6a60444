"""Both databases of one capability: the copy, the two streams, and the proof that they agree."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from strangler.adapters.postgres import (
    addresses,
    catalog,
    copying,
    fences,
    hashing,
    installing,
    markers,
    owners,
    preflight,
    readers,
    removing,
    repairing,
)
from strangler.adapters.postgres.catalog import ForeignKey, Table
from strangler.adapters.postgres.connection import Connection, connect, database_of, describe, own_origin, scalar
from strangler.adapters.postgres.outbox import Outbox
from strangler.adapters.postgres.streams import Stream
from strangler.domain.errors import ConfigurationError, MoveError
from strangler.domain.move import StreamState
from strangler.domain.names import FORWARD, REVERSE
from strangler.domain.project import MONOLITH, SERVICE, Capability, Project
from strangler.ports.replication import Progress, Proof

SETTLE_SECONDS = 30.0


class PostgresReplication:
    """``dsns`` and ``replication_dsns`` by side: how the tool and how the other server reach each database."""

    def __init__(
        self,
        project: Project,
        capability: Capability,
        *,
        dsns: Mapping[str, str],
        replication_dsns: Mapping[str, str],
        urls: Mapping[str, str],
    ) -> None:
        self.project = project
        self.capability = capability
        self.dsns = dsns
        self.urls = urls
        self._publishers = replication_dsns
        self._streams: dict[str, Stream] = {}
        self._looked_at: set[str] = set()
        self._open: dict[tuple[str, str], Connection] = {}

    @property
    def forward(self) -> Stream:
        """The stream monolith → service."""
        return self._stream(FORWARD, MONOLITH)

    @property
    def reverse(self) -> Stream:
        """The stream service → monolith."""
        return self._stream(REVERSE, SERVICE)

    def session(self, side: str, purpose: str = "replicate") -> Connection:
        """A session on one side, opened when needed."""
        present = self._open.get((side, purpose))
        if present is None or present.closed:
            purpose_of_it = f"{purpose} {self.capability.name}"
            present = owners.trusted(connect(self.dsns[side], purpose=purpose_of_it, idle_ms=60_000))
            self._open[side, purpose] = present
        return present

    def close(self) -> None:
        """Ends all sessions."""
        for connection in self._open.values():
            connection.close()
        self._open.clear()

    def tables(self, side: str) -> list[Table]:
        """The capability's tables as one side has them, partitions included."""
        database = self.project.ledger if side == MONOLITH else self.capability.database
        try:
            return catalog.read_tables(self.session(side), self.capability.tables, database=database)
        except ConfigurationError:
            readers.tables_are_tables(self.session(side), self.capability.tables, database=database)
            raise

    def drift(self) -> list[str]:
        """What is unequal between the two sides' tables."""
        return catalog.differences(self.tables(MONOLITH), self.tables(SERVICE))

    def unfenced(self) -> list[str]:
        """Partitions that have been made since the move began: no stream carries them and no fence guards them."""
        return [
            f"{table.name} has been made in the {side} since the move began"
            for side in (MONOLITH, SERVICE)
            for table in self._unknown(side)
        ]

    def filters(self) -> list[str]:
        """What shows the tool, or lets a stream write, less than there is: policies, rules, missing rights."""
        return [
            f"in the {side} {one}"
            for side in (MONOLITH, SERVICE)
            for one in readers.filters(self.session(side), self.tables(side))
        ]

    def preflight(self, *, rerun: bool) -> list[str]:
        """Everything that can be known before anything is changed; returns warnings.

        Raises:
            ConfigurationError, PreflightError: see ``adapters.postgres.preflight``.
        """
        monolith, service = self.session(MONOLITH), self.session(SERVICE)
        preflight.every_table_placed(monolith, self.project)
        for connection in (monolith, service):
            preflight.server(connection, [name for stream in (self.forward, self.reverse) for name in stream.known_as])
        self.forward.require_free(monolith)
        self.reverse.require_free(service)
        preflight.tables(monolith, self.tables(MONOLITH))
        preflight.tables(service, self.tables(SERVICE))
        readers.fit(monolith, self.tables(MONOLITH), self.capability.tables, database=self.project.ledger)
        readers.fit(service, self.tables(SERVICE), self.capability.tables, database=self.capability.database)
        readers.money_reads_alike(monolith, service, self.tables(MONOLITH))
        for database, connection in ((self.project.ledger, monolith), (self.capability.database, service)):
            if table := self.project.databases[database].outbox:
                Outbox(database, table).require(connection)
        warnings = preflight.seams(monolith, self.capability, self.tables(MONOLITH))
        if not rerun:
            preflight.target_empty(service, self.tables(SERVICE))
        preflight.reachable(service, self.forward.publisher)
        preflight.reachable(monolith, self.reverse.publisher)
        return warnings

    def install(self) -> None:
        """The schema ``strangler`` on the service's side; the monolith's came with the ledger."""
        installing.install(self.session(SERVICE))

    def raise_fences(self, *, epoch: int) -> None:
        """The monolith open, the service closed; deletions that will arrive by the way back are queued."""
        for side, opened in ((SERVICE, False), (MONOLITH, True)):
            fences.raise_fences(
                self.session(side),
                capability=self.capability.name,
                side=side,
                opened=opened,
                epoch=epoch,
                tables=self.tables(side),
                peer_url=self.urls[SERVICE if side == MONOLITH else MONOLITH],
                routes=self._routes(),
                references=self._references() if side == MONOLITH else (),
            )

    def clear(self, *, epoch: int) -> None:
        """Removes both streams and empties the copy: a rerun takes a new slot and a new snapshot.

        Raises:
            StaleError: the service's side is no longer at ``epoch``: another start has begun since.
        """
        monolith, service = self.session(MONOLITH), self.session(SERVICE)
        copying.require_epoch(service, self.capability.name, epoch)
        self.forward.unsubscribe(service)
        self.reverse.unsubscribe(monolith)
        self.forward.withdraw(monolith)
        self.reverse.withdraw(service)
        service.execute("DELETE FROM strangler.marker WHERE capability = %s", (self.capability.name,))
        copying.end_others(service, self.capability.name)
        with (
            connect(self.dsns[SERVICE], purpose=copying.purpose(self.capability.name), idle_ms=0) as writer,
            own_origin(writer, self.capability.name, "clear"),
            writer.transaction(),
        ):
            copying.require_epoch(writer, self.capability.name, epoch)
            copying.empty(writer, self.tables(SERVICE))

    def copy(self, progress: Progress) -> int:
        """Publishes, takes the slot and copies all rows of its snapshot; returns how many."""
        monolith, service = self.session(MONOLITH), self.session(SERVICE)
        self.forward.publish(monolith, self.tables(MONOLITH))
        copying.put_off_indexes(service, capability=self.capability.name, tables=self.tables(SERVICE))
        with self.forward.exported_slot() as snapshot:
            copy = copying.Copy(
                capability=self.capability.name,
                source=self.dsns[MONOLITH],
                target=self.dsns[SERVICE],
                snapshot=snapshot,
                work=copying.ranges(monolith, self.tables(MONOLITH)),
                progress=progress,
            )
            return copy.run(workers=min(4, max(2, os.cpu_count() or 2)))

    def finish_copy(self) -> None:
        """Indexes and constraints back, statistics, and all of it on disk."""
        service = self.session(SERVICE)
        copying.put_back_indexes(service, capability=self.capability.name)
        copying.flush(service, self.tables(SERVICE))

    def stream_forward(self, *, within: float) -> None:
        """Subscribes the service to the monolith and waits until it has caught up."""
        self.forward.subscribe(self.session(SERVICE))
        self._settled(MONOLITH, within=within)

    def stream_reverse(self, *, within: float) -> None:
        """Subscribes the monolith to the service and waits until it has caught up."""
        self.reverse.publish(self.session(SERVICE), self.tables(SERVICE))
        self.reverse.create_slot(self.session(SERVICE))
        self.reverse.subscribe(self.session(MONOLITH))
        self._settled(SERVICE, within=within)

    def streams(self) -> Sequence[StreamState]:
        """Both directions as their ends report them."""
        monolith, service = self.session(MONOLITH), self.session(SERVICE)
        return [self.forward.state(monolith, service), self.reverse.state(service, monolith)]

    def settle(self, frm: str, *, within: float) -> bool:
        """Waits until all that ``frm`` has committed so far is on the other side."""
        there = self.session(SERVICE if frm == MONOLITH else MONOLITH)
        # A session of its own, for the caller may hold a transaction open in the side's.
        return markers.pass_through(self.session(frm, "mark"), there, self.capability.name, within=within)

    def verify(self, owner: str, progress: Progress, *, mend: bool) -> Proof:
        """Compares every row while the owner writes; with ``mend`` makes the copy what the owner is."""
        copy_side = SERVICE if owner == MONOLITH else MONOLITH
        there = self.tables(copy_side)
        expected = sum(table.estimate for table in there)
        found = hashing.compare(
            self.session(owner),
            self.session(copy_side),
            there,
            settle=lambda: self._settled(owner, within=SETTLE_SECONDS),
            progress=lambda rows: progress(rows, expected),
        )
        proof = Proof(rows=found.rows, differences=[str(one) for one in found.differences])
        if mend and found.differences:
            repairing.mend(
                self.capability.name,
                self.session(owner),
                self.dsns[copy_side],
                {table.name: table for table in there},
                found.differences,
                settle=lambda: self._settled(owner, within=SETTLE_SECONDS),
            )
            proof.repaired = len(found.differences)
        return proof

    def readdress(self) -> list[str]:
        """Brings the addresses and routes that the move has written down to what the configuration says now.

        Returns what was changed.

        Raises:
            PreflightError: one server cannot reach the other at its present address.
        """
        changed = []
        for stream, sender, receiver in ((self.forward, MONOLITH, SERVICE), (self.reverse, SERVICE, MONOLITH)):
            first = stream.direction not in self._looked_at
            if addresses.lead_to_publisher(self.session(receiver), self.session(sender), stream, first=first):
                changed.append(f"the {stream.direction} stream now comes from {describe(stream.publisher)}")
            self._looked_at.add(stream.direction)
        for side, peer in ((MONOLITH, SERVICE), (SERVICE, MONOLITH)):
            known = addresses.Known(self.capability.name, self.urls[peer], self._routes())
            if addresses.lead_to_peer(self.session(side), known):
                changed.append(f"the {side} now knows the {peer} at {known.peer_url}, and the present routes")
        return changed

    def end_forward(self) -> None:
        """Ends the stream monolith → service."""
        self.forward.unsubscribe(self.session(SERVICE))
        self.forward.withdraw(self.session(MONOLITH))

    def end_reverse(self) -> None:
        """Ends the stream service → monolith; the monolith's tables stay as they are."""
        self.reverse.unsubscribe(self.session(MONOLITH))
        self._end_streams_of_service()

    def drop_old(self) -> None:
        """Ends the stream to the monolith and drops its old tables, in one transaction of that database.

        Raises:
            RefusedError: something there still needs one of them; nothing has been dropped.
        """
        if not self.dropped():
            removing.drop_tables(self.session(MONOLITH), self.reverse, self.tables(MONOLITH))
        self._end_streams_of_service()

    def dropped(self) -> bool:
        """Whether the monolith no longer has the tables."""
        present = catalog.all_tables(self.session(MONOLITH))
        return not any(table in present for table in self.capability.tables)

    def orphans(self) -> dict[str, int]:
        """Deletions that came by the stream: how many wait for their clean-up, have failed, and are done."""
        return fences.orphans(self.session(MONOLITH), self.capability.name)

    def seams(self) -> list[str]:
        """What in the monolith still points into the capability."""
        if self.dropped():
            return []
        return [f"{key.table}.{key.column}" for key in self._references()]

    def remove(self, *, empty_copy: bool) -> None:
        """Takes away all that a move has made in both databases; can be run again."""
        monolith, service = self.session(MONOLITH), self.session(SERVICE)
        self.forward.unsubscribe(service)
        self.reverse.unsubscribe(monolith)
        self.forward.withdraw(monolith)
        self.reverse.withdraw(service)
        copying.end_others(service, self.capability.name)
        if scalar(service, "SELECT to_regclass('strangler.side')") is not None:
            if empty_copy:
                copying.empty(service, self.tables(SERVICE))
            copying.put_back_indexes(service, capability=self.capability.name)
            fences.remove(service, capability=self.capability.name, tables=self.tables(SERVICE))
        fences.remove(monolith, capability=self.capability.name, tables=self.tables(MONOLITH))
        for connection in (monolith, service):
            removing.drop_origins(connection, self.capability.name)

    def _stream(self, direction: str, sender: str) -> Stream:
        if direction not in self._streams:
            database = database_of(self.session(sender))
            self._streams[direction] = Stream(self.capability.name, direction, self._publishers[sender], database)
        return self._streams[direction]

    def _end_streams_of_service(self) -> None:
        self.reverse.withdraw(self.session(SERVICE))
        fences.allow_truncate(self.session(SERVICE), tables=self.tables(SERVICE))

    def _unknown(self, side: str) -> list[Table]:
        known = "SELECT tables FROM strangler.side WHERE capability = %s"
        fenced = scalar(self.session(side), known, self.capability.name) or []
        return [table for table in self.tables(side) if table.qualified not in fenced]

    def _settled(self, frm: str, *, within: float) -> None:
        if not self.settle(frm, within=within):
            raise MoveError(
                f"the stream from the {frm} did not catch up within {within:g} s",
                place=f"{self.capability.name}, {describe(self.dsns[frm])}",
                remedy="see `strangler status` for its lag and errors, and the log of the subscribing server",
            )

    def _routes(self) -> list[dict[str, object]]:
        return [{"methods": sorted(route.methods), "pattern": route.pattern} for route in self.capability.routes]

    def _references(self) -> list[ForeignKey]:
        return catalog.references_into(self.session(MONOLITH), self.tables(MONOLITH))
