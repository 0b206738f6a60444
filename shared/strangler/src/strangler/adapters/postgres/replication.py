"""Both databases of one capability: the copy, the two streams, and the proof that they agree."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from uuid import uuid4

import psycopg
from psycopg import sql

from strangler.adapters.postgres import catalog, copying, fences, hashing, installing, preflight, repairing
from strangler.adapters.postgres.catalog import ForeignKey, Table
from strangler.adapters.postgres.connection import Connection, connect, describe, own_origin, scalar, wait_until
from strangler.adapters.postgres.locks import NOT_FREE, locked
from strangler.adapters.postgres.streams import Stream
from strangler.domain import names
from strangler.domain.errors import MoveError, RefusedError
from strangler.domain.move import StreamState
from strangler.domain.names import FORWARD, REVERSE
from strangler.domain.project import MONOLITH, SERVICE, Capability, Project
from strangler.ports.replication import Progress, Proof

SETTLE_SECONDS = 30.0
ORPHANS = """
SELECT count(*) FILTER (WHERE attempts = 0), count(*) FILTER (WHERE attempts > 0),
       coalesce((SELECT max(rows) FROM strangler.swept WHERE capability = %(capability)s), 0)
FROM strangler.orphan WHERE capability = %(capability)s
"""


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
        self.forward = Stream(capability.name, FORWARD, replication_dsns[MONOLITH])
        self.reverse = Stream(capability.name, REVERSE, replication_dsns[SERVICE])
        self._open: dict[tuple[str, str], Connection] = {}

    def session(self, side: str, purpose: str = "replicate") -> Connection:
        """A session on one side, opened when needed."""
        present = self._open.get((side, purpose))
        if present is None or present.closed:
            present = connect(self.dsns[side], purpose=f"{purpose} {self.capability.name}", idle_ms=60_000)
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
        return catalog.read_tables(self.session(side), self.capability.tables, database=database)

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

    def preflight(self, *, rerun: bool) -> list[str]:
        """Everything that can be known before anything is changed; returns warnings.

        Raises:
            ConfigurationError, PreflightError: see ``adapters.postgres.preflight``.
        """
        monolith, service = self.session(MONOLITH), self.session(SERVICE)
        preflight.every_table_placed(monolith, self.project)
        for connection in (monolith, service):
            preflight.server(connection, self.capability.name)
        preflight.tables(monolith, self.tables(MONOLITH))
        preflight.tables(service, self.tables(SERVICE))
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
        routes = [{"methods": sorted(route.methods), "pattern": route.pattern} for route in self.capability.routes]
        for side, opened in ((SERVICE, False), (MONOLITH, True)):
            fences.raise_fences(
                self.session(side),
                capability=self.capability.name,
                side=side,
                opened=opened,
                epoch=epoch,
                tables=self.tables(side),
                peer_url=self.urls[SERVICE if side == MONOLITH else MONOLITH],
                routes=routes,
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
            own_origin(writer, names.origin(self.capability.name, "clear")),
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
        marker = uuid4()
        there = self.session(SERVICE if frm == MONOLITH else MONOLITH)
        # A session of its own, for the caller may hold a transaction open in the side's.
        here = self.session(frm, "mark")
        here.execute(
            "DELETE FROM strangler.marker WHERE capability = %s AND written_at < now() - interval '1 hour'",
            (self.capability.name,),
        )
        here.execute("INSERT INTO strangler.marker (capability, id) VALUES (%s, %s)", (self.capability.name, marker))
        query = "SELECT EXISTS (SELECT FROM strangler.marker WHERE capability = %s AND id = %s)"
        return wait_until(there, query, (self.capability.name, marker), within=within)

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
            self._mend(owner, copy_side, {table.name: table for table in there}, found.differences)
            proof.repaired = len(found.differences)
        return proof

    def end_forward(self) -> None:
        """Ends the stream monolith → service."""
        self.forward.unsubscribe(self.session(SERVICE))
        self.forward.withdraw(self.session(MONOLITH))

    def drop_old(self) -> None:
        """Ends the stream to the monolith and drops its old tables, in one transaction of that database.

        Raises:
            RefusedError: something there still needs one of them; nothing has been dropped.
        """
        monolith = self.session(MONOLITH)
        if not self.dropped():
            tables = self.tables(MONOLITH)
            try:
                with locked(monolith, tables, "ACCESS EXCLUSIVE"):
                    self.reverse.unsubscribe(monolith)
                    # RESTRICT is the default: what still points there makes this fail.
                    monolith.execute(
                        sql.SQL("DROP TABLE {}").format(sql.SQL(", ").join(table.sql() for table in tables))
                    )
            except psycopg.errors.DependentObjectsStillExist as error:
                raise RefusedError(
                    f"the monolith still needs it: {error.diag.message_detail}",
                    place=self.capability.name,
                    remedy="remove what depends on the old tables, then run the command again",
                ) from error
        self.reverse.withdraw(self.session(SERVICE))

    def dropped(self) -> bool:
        """Whether the monolith no longer has the tables."""
        present = catalog.all_tables(self.session(MONOLITH))
        return not any(table in present for table in self.capability.tables)

    def orphans(self) -> dict[str, int]:
        """Deletions that came by the stream: how many wait for their clean-up, have failed, and are done."""
        if scalar(self.session(MONOLITH), "SELECT to_regclass('strangler.swept')") is None:
            return {}
        row = self.session(MONOLITH).execute(ORPHANS, {"capability": self.capability.name}).fetchone()
        assert row is not None
        return dict(zip(("waiting", "failing", "swept"), row, strict=True))

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
            for (origin,) in connection.execute("SELECT roname FROM pg_replication_origin").fetchall():
                if names.belongs(origin, self.capability.name):
                    connection.execute("SELECT pg_replication_origin_drop(%s)", (origin,))

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

    def _references(self) -> list[ForeignKey]:
        return catalog.references_into(self.session(MONOLITH), self.tables(MONOLITH))

    def _mend(
        self, owner: str, copy_side: str, tables: Mapping[str, Table], found: Sequence[hashing.Difference]
    ) -> None:
        origin = names.origin(self.capability.name, "repair")
        with (
            connect(self.dsns[copy_side], purpose=f"repair {self.capability.name}", idle_ms=60_000) as copy,
            own_origin(copy, origin),
        ):
            # The local fence stands on the copy; a replica's writes pass it.
            copy.execute("SET session_replication_role = replica")
            # What is only in the copy goes first: it may have a value that a row of the owner's needs.
            for one in sorted(found, key=lambda one: one.kind != hashing.ONLY_THERE):
                try:
                    repairing.repair(
                        self.session(owner),
                        copy,
                        tables[one.table],
                        one,
                        settle=lambda: self._settled(owner, within=SETTLE_SECONDS),
                    )
                except NOT_FREE as error:
                    raise MoveError(
                        f"{one} is locked by a writer",
                        place=self.capability.name,
                        remedy="run verify --repair again",
                    ) from error
                except psycopg.IntegrityError as error:
                    raise MoveError(
                        f"{one} cannot be mended: {error.diag.message_primary}",
                        place=f"{self.capability.name}, {describe(self.dsns[copy_side])}",
                        remedy="mend the row that stands in its way first",
                    ) from error
