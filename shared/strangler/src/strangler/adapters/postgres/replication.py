"""Both databases of one capability: the copy, the two streams, and the proof that they agree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from strangler.adapters.postgres.copies import copying, deferring, hashing, repairing, resyncing, totals, workers
from strangler.adapters.postgres.fences import fences, removing
from strangler.adapters.postgres.inspection import Inspection
from strangler.adapters.postgres.schema import installing, markers
from strangler.adapters.postgres.session.connection import connect, describe, own_origin, scalar
from strangler.adapters.postgres.tables import rules
from strangler.adapters.postgres.tables.catalog import Table
from strangler.domain.errors import MoveError
from strangler.domain.move import StreamState
from strangler.domain.project import MONOLITH, SERVICE
from strangler.ports.replication import Patience, Progress, Proof, Replication

SETTLE_SECONDS = 30.0


class PostgresReplication(Inspection, Replication):
    """The whole port: `Inspection` looks and notes, and this class has what moves rows."""

    _cleared_at = 0  # no move is at this epoch

    def install(self) -> None:
        """Makes the schema ``strangler``, and writes what both sides have to know."""
        installing.install(self.session(SERVICE))
        self._name_sequences()
        self._share_secret()

    def raise_fences(self, *, epoch: int, patience: Patience) -> None:
        """Row and triggers of each side in one transaction; the monolith's triggers also queue deletions that
        arrive."""
        ledger = scalar(self.session(MONOLITH), "SELECT id FROM strangler.ledger")
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
                keys=self._keys() if side == MONOLITH else None,
                ledger=ledger,
                patience=patience,
            )
        self._name_sequences()
        self._share_secret()

    def clear(self, *, epoch: int) -> None:
        """Removes slots too: a rerun takes a new slot and a new snapshot."""
        monolith, service = self.session(MONOLITH), self.session(SERVICE)
        copying.require_epoch(service, self.capability.name, epoch)
        self.forward.unsubscribe(service)
        self.reverse.unsubscribe(monolith)
        self.forward.withdraw(monolith)
        self.reverse.withdraw(service)
        markers.forget(service, self.capability.name)
        copying.end_others(service, self.capability.name)
        with (
            connect(self.dsns[SERVICE], purpose=copying.purpose(self.capability.name), idle_ms=0) as writer,
            own_origin(writer, self.capability.name, "clear"),
            writer.transaction(),
        ):
            copying.require_epoch(writer, self.capability.name, epoch)
            copying.empty(writer, self.tables(SERVICE))
        self._cleared_at = epoch

    def copy(self, progress: Progress, patience: Patience) -> int:
        """By the snapshot of the forward slot, in ranges, with a few sessions at a time."""
        monolith, service = self.session(MONOLITH), self.session(SERVICE)
        with self._still_cleared():
            fences.put_off(service, self.tables(SERVICE))
            deferring.put_off(service, capability=self.capability.name, tables=self.tables(SERVICE))
        self.forward.publish(monolith, self.tables(MONOLITH))
        with self.forward.exported_slot(monolith, patience) as snapshot:
            copy = copying.Copy(
                capability=self.capability.name,
                source=self.dsns[MONOLITH],
                target=self.dsns[SERVICE],
                snapshot=snapshot,
                work=copying.ranges(monolith, self.tables(MONOLITH)),
                tables=self.tables(SERVICE),
                progress=progress,
            )
            return copy.run(workers.number())

    def finish_copy(self) -> None:
        """Statistics, too, and a checkpoint where the role may make one."""
        service = self.session(SERVICE)
        with self._still_cleared():
            fences.put_back(service, self.capability.name, self.tables(SERVICE))
        self._put_back()
        drift = self.drift()
        if drift:
            raise MoveError(
                "the tables are not equal on both sides:" + "".join(f"\n    {one}" for one in drift),
                place=self.capability.name,
                remedy="migrate the side that is behind, and run start again",
                id="tables-differ",
            )
        copying.flush(self.dsns[SERVICE], self.capability.name, self.tables(SERVICE))

    def stream_forward(self, *, within: float) -> None:
        """Publication and slot are those of the copy."""
        self.forward.subscribe(self.session(SERVICE))
        self._settled(MONOLITH, within=within)

    def stream_reverse(self, *, within: float) -> None:
        """With a publication and a slot of its own."""
        self.reverse.publish(self.session(SERVICE), self.tables(SERVICE))
        self.reverse.create_slot(self.session(SERVICE), self.session(SERVICE, "watch"))
        self.reverse.subscribe(self.session(MONOLITH))
        self._settled(SERVICE, within=within)

    def renew(self, direction: str, owner: str, progress: Progress) -> int:
        """For a stream from the owner: compares with the snapshot of the new slot, and keeps the rows that are
        right."""
        stream, sender, receiver = next(one for one in self._ends(completed=False) if one[0].direction == direction)
        here, there = self.session(sender), self.session(receiver)
        stream.unsubscribe(there)
        stream.withdraw(here)
        stream.publish(here, self.tables(sender))
        rows = 0
        if sender == owner:
            pairs = list(self._pairs(sender, receiver).values())
            expected = sum(table.estimate for _, table in pairs)
            with stream.exported_slot(here, Patience()) as snapshot:
                rows = resyncing.level(
                    self.capability.name,
                    self.dsns[sender],
                    self.dsns[receiver],
                    pairs,
                    snapshot=snapshot,
                    by_bytes=not rules.sort_alike(here, there),
                    progress=lambda rows: progress(rows, expected),
                )
        else:
            stream.create_slot(here, self.session(sender, "watch"))
        stream.subscribe(there)
        self._settled(sender, within=SETTLE_SECONDS)
        return rows

    def streams(self) -> Sequence[StreamState]:
        """By the slot at one end and the subscription at the other."""
        monolith, service = self.session(MONOLITH), self.session(SERVICE)
        return [self.forward.state(monolith, service), self.reverse.state(service, monolith)]

    def catch_up(self, frm: str, *, within: float) -> bool:
        """By a marker."""
        there = self.session(SERVICE if frm == MONOLITH else MONOLITH)
        # A session of its own, for the caller may hold a transaction open in the side's session.
        return markers.pass_through(self.session(frm, "mark"), there, self.capability.name, within=within)

    def verify(self, owner: str, progress: Progress, *, mend: bool) -> Proof:
        """By hashes of key ranges, and by rows where those differ."""
        copy_side = SERVICE if owner == MONOLITH else MONOLITH
        pairs = self._pairs(owner, copy_side)
        expected = sum(table.estimate for _, table in pairs.values())
        alike = rules.sort_alike(self.session(owner), self.session(copy_side))

        def catch_up() -> None:
            self._settled(owner, within=SETTLE_SECONDS)

        sessions = totals.sessions(
            self.dsns[owner],
            self.dsns[copy_side],
            purpose=f"verify {self.capability.name}",
            number=workers.number(),
        )
        repairs = repairing.Repairs(
            self.capability.name, self.session(owner), self.dsns[copy_side], pairs, catch_up=catch_up
        )
        with sessions as more, repairs:
            found = hashing.compare(
                self.session(owner),
                self.session(copy_side),
                list(pairs.values()),
                catch_up=catch_up,
                progress=lambda rows: progress(rows, expected),
                by_bytes=not alike,
                found=repairs.take if mend else lambda _: None,
                more=more,
            )
            repairs.finish()
        return Proof(
            rows=found.rows,
            differing=found.differing,
            differences=[str(one) for one in found.differences],
            repaired=found.differing if mend else 0,
        )

    def end_forward(self) -> None:
        """Subscription, slot and publication."""
        self.forward.unsubscribe(self.session(SERVICE))
        self.forward.withdraw(self.session(MONOLITH))

    def end_reverse(self) -> None:
        """The same; the service may TRUNCATE then."""
        self.reverse.unsubscribe(self.session(MONOLITH))
        self._end_streams_of_service()

    def drop_old(self) -> None:
        """Tables and subscription in one transaction of the monolith's database."""
        if not self.dropped():
            removing.drop_tables(self.session(MONOLITH), self.reverse, self.tables(MONOLITH))
        self._end_streams_of_service()

    def remove(self) -> None:
        """Streams first; origins, by which sessions write, last."""
        monolith, service = self.session(MONOLITH), self.session(SERVICE)
        self.forward.unsubscribe(service)
        self.reverse.unsubscribe(monolith)
        self.forward.withdraw(monolith)
        self.reverse.withdraw(service)
        copying.end_others(service, self.capability.name)
        if scalar(service, "SELECT to_regclass('strangler.side')") is not None:
            copying.empty_closed(service, self.capability.name, self.tables(SERVICE))
            self._put_back()
            fences.remove(service, capability=self.capability.name, tables=self.tables(SERVICE))
        fences.remove(monolith, capability=self.capability.name, tables=self.tables(MONOLITH))
        for connection in (monolith, service):
            removing.drop_origins(connection, self.capability.name)

    @contextmanager
    def _still_cleared(self) -> Iterator[None]:
        """A transaction that changes the copy only if no other start, and no switch, has come since `clear`.

        It asks at its end: whoever raises fences locks the tables first, then the side's row.
        """
        service = self.session(SERVICE)
        with service.transaction():
            yield
            copying.require_epoch(service, self.capability.name, self._cleared_at)

    def _put_back(self) -> None:
        deferring.put_back(
            self.dsns[SERVICE],
            capability=self.capability.name,
            purpose=copying.purpose(self.capability.name),
            threads=workers.number(),
        )

    def _pairs(self, owner: str, copy: str) -> dict[str, tuple[Table, Table]]:
        here = {table.name: table for table in self.tables(owner)}
        return {table.name: (here[table.name], table) for table in self.tables(copy)}

    def _end_streams_of_service(self) -> None:
        self.reverse.withdraw(self.session(SERVICE))
        fences.allow_truncate(self.session(SERVICE), tables=self.tables(SERVICE))

    def _settled(self, frm: str, *, within: float) -> None:
        if not self.catch_up(frm, within=within):
            raise MoveError(
                f"the stream from the {frm} did not catch up within {within:g} s",
                place=f"{self.capability.name}, {describe(self.dsns[frm])}",
                remedy="see `strangler status` for its lag and errors, and the log of the subscribing server",
            )
