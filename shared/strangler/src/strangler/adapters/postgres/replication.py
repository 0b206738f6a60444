"""Both databases of one capability: the copy, the two streams, and the proof that they agree."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from strangler.adapters.postgres import (
    addresses,
    catalog,
    comparing,
    copying,
    deletions,
    fences,
    hashing,
    installing,
    markers,
    mending,
    numbering,
    owners,
    preflight,
    probing,
    readers,
    references,
    removing,
    repairing,
    resyncing,
    rules,
    sentinels,
    sequences,
    standing,
    surroundings,
)
from strangler.adapters.postgres.catalog import Table
from strangler.adapters.postgres.connection import Connection, connect, database_of, describe, own_origin, scalar
from strangler.adapters.postgres.outbox import Outbox
from strangler.adapters.postgres.references import Pointer
from strangler.adapters.postgres.streams import Stream
from strangler.domain.errors import ConfigurationError, MoveError, PreflightError
from strangler.domain.move import Deviation, StreamState
from strangler.domain.names import FORWARD, REVERSE
from strangler.domain.project import MONOLITH, SERVICE, Capability, Project
from strangler.ports.replication import Progress, Proof

SETTLE_SECONDS = 30.0
# A stream by whatever name: another's is called otherwise.
LEFT_BY_START = """
SELECT EXISTS (
    SELECT FROM strangler.side s WHERE capability = %s AND NOT open AND epoch <= %s AND peer_url = %s
    AND NOT EXISTS (SELECT FROM pg_subscription_rel r JOIN unnest(s.tables) t ON r.srrelid = to_regclass(t))
)
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
        self._publishers = replication_dsns
        self._streams: dict[str, Stream] = {}
        self._looked_at: set[str] = set()
        self._queued = ""
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
        here, there = self.tables(MONOLITH), self.tables(SERVICE)
        both = self._rules(here, there)
        # While rows are copied, unique keys and exclusions are off the copy; they are compared when they are back.
        whole = not copying.put_off(self.session(SERVICE), capability=self.capability.name)
        return catalog.differences(here, there) + comparing.differences(*both, uniques=whole)

    def misnumbered(self, owner: str) -> list[str]:
        """What would go wrong with numbers if the side that is not ``owner`` took over now."""
        peer = SERVICE if owner == MONOLITH else MONOLITH
        here, tables = self.session(owner), self.tables(owner)
        found = sequences.asked(here, self.project, self.capability, tables)
        if owner == MONOLITH:
            found += [f"nothing says where {name} belongs" for name in sequences.unplaced(here, self.project)]
            found += sequences.shared(here, self.capability, tables)
        lacking = sequences.lacking(self.session(peer), self.capability)
        found += [f"there is no sequence {name} in the {peer}" for name in lacking]
        ours, theirs = (
            sequences.read(self.session(side), self.tables(side), self.capability.sequences) for side in (owner, peer)
        )
        return found + numbering.misfits(self.session(owner), ours, self.session(peer), theirs)

    def deviations(self, *, completed: bool) -> list[Deviation]:
        """What is not as the sides' rows say: fences, their functions, publications, slots and subscriptions.

        Once ``completed``, no stream goes to the service.
        """
        forward = None if completed else self.forward.subscribed_as(self.session(SERVICE)) or self.forward.name
        reverse = self.reverse.subscribed_as(self.session(MONOLITH)) or self.reverse.name
        return [
            *standing.look(self.session(MONOLITH), self._expected(MONOLITH, leaving=forward, coming=reverse)),
            *standing.look(self.session(SERVICE), self._expected(SERVICE, leaving=reverse, coming=forward)),
            *self._unqueued(),
        ]

    def set_right(self, found: Sequence[Deviation], *, owner: str, epoch: int) -> list[str]:
        """Turns right what can be, on each side that is what the ledger says of it; returns what was done."""
        done = []
        for side in (MONOLITH, SERVICE):
            marks = [each.mark for each in found if each.side == side and each.mendable]
            if marks:
                connection = self.session(side)
                if side == MONOLITH:
                    done += self._queue_more()
                state = mending.State(self.capability.name, opened=side == owner, epoch=epoch)
                tables = self._present(side)
                done += [f"{each} in the {side}" for each in mending.mend(connection, state, marks, tables)]
        return done

    def obstacles(self) -> list[str]:
        """What has come to stand at a moved table since the move began, and what to do about it."""
        ours = [*self.forward.known_as, *self.reverse.known_as]
        return [
            f"{message} ({side}): {remedy}"
            for side in (MONOLITH, SERVICE)
            for message, remedy in surroundings.obstacles(self.session(side), self.tables(side), ours=ours)
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
        here, there = self.tables(MONOLITH), self.tables(SERVICE)
        preflight.tables(monolith, here)
        preflight.tables(service, there)
        readers.fit(monolith, here, self.capability.tables, database=self.project.ledger)
        readers.fit(service, there, self.capability.tables, database=self.capability.database)
        for connection, tables in ((monolith, here), (service, there)):
            probing.writable_when_published(connection, tables)
        for database, connection in ((self.project.ledger, monolith), (self.capability.database, service)):
            if table := self.project.databases[database].outbox:
                Outbox(database, table).require(connection)
        warnings = preflight.seams(monolith, self.capability, here)
        ours = [*self.forward.known_as, *self.reverse.known_as]
        warnings += surroundings.fit(monolith, here, ours=ours)
        surroundings.fit(service, there, ours=ours)
        warnings += surroundings.rows_fit(monolith, here)
        warnings += [one.describe() for one in self._pointers() if not one.constrained]
        self._look_at_sequences()
        if not rerun:
            preflight.target_empty(service, there)
        for stream, sender, receiver in ((self.forward, monolith, service), (self.reverse, service, monolith)):
            with preflight.announced(sender, stream.name):
                preflight.reachable(receiver, stream.publisher, stream.name)
        return warnings + comparing.notes(*self._rules(here, there))

    def install(self) -> None:
        """The schema ``strangler`` on the service's side; the monolith's came with the ledger."""
        installing.install(self.session(SERVICE))
        self._name_sequences()

    def raise_fences(self, *, epoch: int) -> None:
        """The monolith open, the service closed; deletions that will arrive by the way back are queued."""
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
            )
        self._name_sequences()

    def left_by_start(self, *, epoch: int) -> bool:
        """Whether the service's row is as a start of this project leaves it: closed, and nothing streams to it yet."""
        values = (self.capability.name, epoch, self.urls[MONOLITH])
        return bool(scalar(self.session(SERVICE), LEFT_BY_START, *values))

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
        with self.forward.exported_slot(monolith) as snapshot:
            copy = copying.Copy(
                capability=self.capability.name,
                source=self.dsns[MONOLITH],
                target=self.dsns[SERVICE],
                snapshot=snapshot,
                work=copying.ranges(monolith, self.tables(MONOLITH)),
                tables=self.tables(SERVICE),
                progress=progress,
            )
            return copy.run(workers=min(4, max(2, os.cpu_count() or 2)))

    def finish_copy(self) -> None:
        """Indexes and constraints back, statistics, and all of it on disk.

        Raises:
            MoveError: a constraint does not hold for the rows, or the sides' tables are no longer equal.
        """
        service = self.session(SERVICE)
        copying.put_back_indexes(service, capability=self.capability.name)
        drift = self.drift()
        if drift:
            raise MoveError(
                "the tables are not equal on both sides:" + "".join(f"\n    {one}" for one in drift),
                place=self.capability.name,
                remedy="migrate the side that is behind, and run start again",
            )
        copying.flush(service, self.tables(SERVICE))

    def stream_forward(self, *, within: float) -> None:
        """Subscribes the service to the monolith and waits until it has caught up."""
        self.forward.subscribe(self.session(SERVICE))
        self._settled(MONOLITH, within=within)

    def stream_reverse(self, *, within: float) -> None:
        """Subscribes the monolith to the service and waits until it has caught up."""
        self.reverse.publish(self.session(SERVICE), self.tables(SERVICE))
        self.reverse.create_slot(self.session(SERVICE), self.session(SERVICE, "watch"))
        self.reverse.subscribe(self.session(MONOLITH))
        self._settled(SERVICE, within=within)

    def lost(self, *, completed: bool) -> list[str]:
        """The directions that cannot go on: slot, publication or subscription is gone, or the slot was invalidated."""
        return [
            stream.direction
            for stream, sender, receiver in self._ends(completed=completed)
            if stream.broken(self.session(sender), self.session(receiver))
        ]

    def renew(self, direction: str, owner: str, progress: Progress) -> int:
        """Makes one of them anew; returns how many rows of the copy were changed. Only the owner's has any to carry.

        Raises:
            MoveError: it did not catch up, or the slot could not be made; to be run again.
        """
        stream, sender, receiver = next(one for one in self._ends(completed=False) if one[0].direction == direction)
        here, there = self.session(sender), self.session(receiver)
        stream.unsubscribe(there)
        stream.withdraw(here)
        stream.publish(here, self.tables(sender))
        rows = 0
        if sender == owner:
            mine = {table.name: table for table in self.tables(sender)}
            pairs = [(mine[table.name], table) for table in self.tables(receiver)]
            expected = sum(table.estimate for _, table in pairs)
            with stream.exported_slot(here) as snapshot:
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

    def sentinels(self, known: Mapping[str, str], *, completed: bool) -> tuple[dict[str, str], list[str]]:
        """Looks at each stream by `adapters.postgres.sentinels`; what to give it the next time, and what was found."""
        kept, passed = {}, []
        for stream, sender, receiver in self._ends(completed=completed):
            mark, over = sentinels.look(
                stream, self.session(sender), self.session(receiver), known.get(stream.direction)
            )
            if mark is not None:
                kept[stream.direction] = mark
            if over:
                passed.append(
                    f"the {stream.direction} stream has passed over what was written while it stood still: "
                    "its slot or origin was moved, or made anew"
                )
        return kept, passed

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
        here = {table.name: table for table in self.tables(owner)}
        pairs = {table.name: (here[table.name], table) for table in self.tables(copy_side)}
        expected = sum(table.estimate for _, table in pairs.values())
        alike = rules.sort_alike(self.session(owner), self.session(copy_side))

        def settle() -> None:
            self._settled(owner, within=SETTLE_SECONDS)

        with repairing.Repairs(
            self.capability.name, self.session(owner), self.dsns[copy_side], pairs, settle=settle
        ) as repairs:
            found = hashing.compare(
                self.session(owner),
                self.session(copy_side),
                list(pairs.values()),
                settle=settle,
                progress=lambda rows: progress(rows, expected),
                by_bytes=not alike,
                found=repairs.take if mend else lambda _: None,
            )
            repairs.finish()
        return Proof(
            rows=found.rows,
            differing=found.differing,
            differences=[str(one) for one in found.differences],
            repaired=found.differing if mend else 0,
        )

    def readdress(self) -> list[str]:
        """Brings the addresses, routes and references that the move has written down to what is configured now.

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
        if "keys" not in self._looked_at:
            self._looked_at.add("keys")
            changed += self._queue_more()
        return changed + [f"the {side} now knows the present sequences" for side in self._name_sequences()]

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
        return deletions.waiting(self.session(MONOLITH), self.capability.name)

    def seams(self) -> list[str]:
        """What in the monolith still points into the capability."""
        if self.dropped():
            return []
        into = catalog.references_into(self.session(MONOLITH), self.tables(MONOLITH))
        return [f"{key.table}.{key.column}" for key in into]

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
                copying.empty_closed(service, self.capability.name, self.tables(SERVICE))
            copying.put_back_indexes(service, capability=self.capability.name)
            fences.remove(service, capability=self.capability.name, tables=self.tables(SERVICE))
        fences.remove(monolith, capability=self.capability.name, tables=self.tables(MONOLITH))
        for connection in (monolith, service):
            removing.drop_origins(connection, self.capability.name)

    def _rules(self, here: Sequence[Table], there: Sequence[Table]) -> tuple[rules.Database, rules.Database]:
        return rules.read(self.session(MONOLITH), here), rules.read(self.session(SERVICE), there)

    def _stream(self, direction: str, sender: str) -> Stream:
        if direction not in self._streams:
            database = database_of(self.session(sender))
            self._streams[direction] = Stream(self.capability.name, direction, self._publishers[sender], database)
        return self._streams[direction]

    def _end_streams_of_service(self) -> None:
        self.reverse.withdraw(self.session(SERVICE))
        fences.allow_truncate(self.session(SERVICE), tables=self.tables(SERVICE))

    def stopped(self, owner: str, *, epoch: int, ended: bool) -> list[Deviation]:
        """Fences that refuse the owner's own writes; all that is compared while there are no streams."""
        state = mending.State(self.capability.name, opened=True, epoch=epoch, ended=ended)
        return [
            Deviation(
                owner,
                f"fences of {table}: {', '.join(fences)} would refuse every write",
                "`strangler serve` turns them right within seconds; see the log of who runs ALTER TABLE … TRIGGER",
                mendable=True,
                unproven=False,
                mark=table,
            )
            for table, fences in mending.firing(self.session(owner), state).items()
        ]

    def relieve(self, owner: str, *, epoch: int, ended: bool) -> list[str]:
        """Has them refuse no more, if the side is open at ``epoch``; may be called beside a coordinator."""
        state = mending.State(self.capability.name, opened=True, epoch=epoch, ended=ended)
        return [f"{each} in the {owner}" for each in mending.relieve(self.session(owner), state)]

    def _look_at_sequences(self) -> None:
        monolith, service = self.session(MONOLITH), self.session(SERVICE)
        for database, connection in ((self.project.ledger, monolith), (self.capability.database, service)):
            sequences.present(connection, self.capability, database=database)
        sequences.every_sequence_placed(monolith, self.project)
        sequences.own(monolith, self.project, self.capability, self.tables(MONOLITH))
        misfits = self.misnumbered(MONOLITH)
        if misfits:
            raise PreflightError(
                "numbers could not go on in the service:" + "".join(f"\n    {each}" for each in misfits),
                place=describe(self.dsns[SERVICE]),
                remedy="make the sequences there what they are in the monolith (ALTER SEQUENCE)",
            )

    def _name_sequences(self) -> list[str]:
        """Both sides' rows know the sequences that the configuration names; the sides that knew others."""
        return [side for side in (MONOLITH, SERVICE) if sequences.name_in_side(self.session(side), self.capability)]

    def _expected(self, side: str, *, leaving: str | None, coming: str | None) -> standing.Expected:
        return standing.Expected(
            capability=self.capability.name,
            side=side,
            tables=self.capability.tables,
            publication=leaving,
            subscription=coming,
        )

    def _ends(self, *, completed: bool) -> list[tuple[Stream, str, str]]:
        forward = [] if completed else [(self.forward, MONOLITH, SERVICE)]
        return [*forward, (self.reverse, SERVICE, MONOLITH)]

    def _settled(self, frm: str, *, within: float) -> None:
        if not self.settle(frm, within=within):
            raise MoveError(
                f"the stream from the {frm} did not catch up within {within:g} s",
                place=f"{self.capability.name}, {describe(self.dsns[frm])}",
                remedy="see `strangler status` for its lag and errors, and the log of the subscribing server",
            )

    def _routes(self) -> list[dict[str, object]]:
        return [{"methods": sorted(route.methods), "pattern": route.pattern} for route in self.capability.routes]

    def _pointers(self) -> list[Pointer]:
        return references.pointers(self.session(MONOLITH), self.project, self.capability, self.tables(MONOLITH))

    def _unqueued(self) -> list[Deviation]:
        connection = self.session(MONOLITH)
        print_of_it = deletions.fingerprint(connection, self.capability.name)
        if print_of_it == self._queued:
            return []
        found = deletions.unqueued(connection, self.project, self.capability, self._present(MONOLITH))
        self._queued = "" if found else print_of_it
        return found

    def _present(self, side: str) -> list[Table]:
        """The capability's tables that one side still has."""
        there = catalog.all_tables(self.session(side))
        names = [name for name in self.capability.tables if name in there]
        return catalog.read_tables(self.session(side), names, database=side)

    def _queue_more(self) -> list[str]:
        tables = self._present(MONOLITH)
        if not tables:
            return []
        try:
            pointers = references.pointers(self.session(MONOLITH), self.project, self.capability, tables)
        except ConfigurationError:
            return []  # `deviations` names it; fences do not wait for its cure
        keys = references.keys(pointers, tables)
        return deletions.note(self.session(MONOLITH), self.capability.name, tables, keys)

    def _keys(self) -> dict[str, list[str]]:
        return references.keys(self._pointers(), self.tables(MONOLITH))
