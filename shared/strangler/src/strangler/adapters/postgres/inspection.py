"""Compares both databases of one capability with what a move needs, and puts some of the differences right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from strangler.adapters import peers
from strangler.adapters.postgres import addresses
from strangler.adapters.postgres.copies import copying
from strangler.adapters.postgres.ends import Ends
from strangler.adapters.postgres.fences import deletions, mending, standing
from strangler.adapters.postgres.preflight import preflight, probing, readers, surroundings
from strangler.adapters.postgres.schema import secret
from strangler.adapters.postgres.schema.outbox import Outbox
from strangler.adapters.postgres.session.connection import describe, scalar
from strangler.adapters.postgres.streams import sentinels
from strangler.adapters.postgres.tables import catalog, comparing, numbering, references, rules, sequences
from strangler.adapters.postgres.tables.catalog import Table
from strangler.adapters.postgres.tables.references import Pointer
from strangler.domain.errors import ConfigurationError, PreflightError
from strangler.domain.move import Deviation
from strangler.domain.project import MONOLITH, SERVICE

# A stream under any of its names; a stream of another capability or environment has a different name.
LEFT_BY_START = """
SELECT EXISTS (
    SELECT FROM strangler.side s WHERE capability = %s AND NOT open AND epoch <= %s AND peer_url = %s
    AND NOT EXISTS (SELECT FROM pg_subscription_rel r JOIN unnest(s.tables) t ON r.srrelid = to_regclass(t))
)
"""


class Inspection(Ends):
    """Changes only fences, notes and addresses, and no row of a moved table."""

    def drift(self) -> list[str]:
        """While rows are copied, the copy lacks unique keys and exclusions; they are compared when they are back."""
        here, there = self.tables(MONOLITH), self.tables(SERVICE)
        both = self._rules(here, there)
        whole = not copying.put_off(self.session(SERVICE), capability=self.capability.name)
        return catalog.differences(here, there) + comparing.differences(*both, uniques=whole)

    def misnumbered(self, owner: str) -> list[str]:
        """Sequences without a place, a peer, or room; sequences that others ask, or that count in another way."""
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
        """Both sides' tables with partitions, triggers and streams, also under an older name of the subscription."""
        forward = None if completed else self.forward.subscribed_as(self.session(SERVICE)) or self.forward.name
        reverse = self.reverse.subscribed_as(self.session(MONOLITH)) or self.reverse.name
        return [
            *standing.look(self.session(MONOLITH), self._expected(MONOLITH, leaving=forward, coming=reverse)),
            *standing.look(self.session(SERVICE), self._expected(SERVICE, leaving=reverse, coming=forward)),
            *self._unqueued(),
        ]

    def set_right(self, found: Sequence[Deviation], *, owner: str, epoch: int) -> list[str]:
        """By the marks of the deviations, which name tables."""
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
        """The things that the preflight looks for at each table."""
        ours = [*self.forward.known_as, *self.reverse.known_as]
        return [
            f"{message} ({side}): {remedy}"
            for side in (MONOLITH, SERVICE)
            for message, remedy in surroundings.obstacles(self.session(side), self.tables(side), ours=ours)
        ]

    def filters(self) -> list[str]:
        """Policies, rules and missing rights of the tool's role, and of the role that applies a stream."""
        return [
            f"in the {side} {one}"
            for side in (MONOLITH, SERVICE)
            for one in readers.filters(self.session(side), self.tables(side))
        ]

    def preflight(self, *, rerun: bool) -> list[str]:
        """Nearly everything is asked of the catalogues; the rest is tried in transactions that are rolled back."""
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
        warnings += preflight.cascades(monolith, self.project, self.capability, here)
        self._look_at_sequences()
        if not rerun:
            preflight.target_empty(service, there)
        for stream, sender, receiver in ((self.forward, monolith, service), (self.reverse, service, monolith)):
            with preflight.announced(sender, stream.name):
                preflight.reachable(receiver, stream.publisher, stream.name)
        return warnings + comparing.notes(*self._rules(here, there))

    def left_by_start(self, *, epoch: int) -> bool:
        """Recognised by the address of the monolith's process, which a start writes into the row."""
        values = (self.capability.name, epoch, self.urls[MONOLITH])
        return bool(scalar(self.session(SERVICE), LEFT_BY_START, *values))

    def lost(self, *, completed: bool) -> list[str]:
        """Slot, publication or subscription is gone, or the slot was invalidated."""
        return [
            stream.direction
            for stream, sender, receiver in self._ends(completed=completed)
            if stream.broken(self.session(sender), self.session(receiver))
        ]

    def sentinels(self, known: Mapping[str, str], *, completed: bool) -> tuple[dict[str, str], list[str]]:
        """See the note "moved by hand" in ``streams.sentinels``."""
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

    def readdress(self) -> list[str]:
        """Looks for references only in the first call: `deviations` finds references that are made later."""
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
        if self._share_secret():
            changed.append("both sides now have the same secret")
        return changed + [f"the {side} now knows the present sequences" for side in self._name_sequences()]

    def orphans(self) -> dict[str, int]:
        """The monolith's queue, and the sweep's own count."""
        return deletions.waiting(self.session(MONOLITH), self.capability.name)

    def cascades(self) -> list[tuple[str, str]]:
        """By the monolith's constraints; what the models say of a deletion is not in the database."""
        if self.dropped():
            return []
        return [
            (f"{key.table}.{key.column}", key.root)
            for key in preflight.parents(self.session(MONOLITH), self.project, self.capability, self.tables(MONOLITH))
        ]

    def deaf(self) -> list[str]:
        """Asks each process by the address at which it is asked in earnest, with the secret of the move."""
        name = self.capability.name
        return [
            f"the {side} cannot: {reason}"
            for side in (MONOLITH, SERVICE)
            if (reason := peers.ask(self.urls[side], name, secret.read(self.session(side), name)))
        ]

    def seams(self) -> list[str]:
        """By the monolith's constraints."""
        if self.dropped():
            return []
        into = catalog.references_into(self.session(MONOLITH), self.tables(MONOLITH))
        return [f"{key.table}.{key.column}" for key in into]

    def stopped(self, owner: str, *, epoch: int, ended: bool) -> list[Deviation]:
        """By the functions that triggers call, whatever the triggers' names are."""
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
        """The lock on the side's row keeps a fence or a lift from happening at the same time."""
        state = mending.State(self.capability.name, opened=True, epoch=epoch, ended=ended)
        return [f"{each} in the {owner}" for each in mending.relieve(self.session(owner), state)]

    def _rules(self, here: Sequence[Table], there: Sequence[Table]) -> tuple[rules.Database, rules.Database]:
        return rules.read(self.session(MONOLITH), here), rules.read(self.session(SERVICE), there)

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
        """Writes the sequences that the configuration names into both sides' rows; returns the sides that had
        others."""
        return [side for side in (MONOLITH, SERVICE) if sequences.name_in_side(self.session(side), self.capability)]

    def _share_secret(self) -> bool:
        return secret.agree(self.capability.name, self.session(MONOLITH), self.session(SERVICE))

    def _expected(self, side: str, *, leaving: str | None, coming: str | None) -> standing.Expected:
        return standing.Expected(
            capability=self.capability.name,
            side=side,
            tables=self.capability.tables,
            publication=leaving,
            subscription=coming,
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

    def _queue_more(self) -> list[str]:
        tables = self._present(MONOLITH)
        if not tables:
            return []
        try:
            pointers = references.pointers(self.session(MONOLITH), self.project, self.capability, tables)
        except ConfigurationError:
            return []  # `deviations` names it; fences are mended without waiting for that
        keys = references.keys(pointers, tables)
        return deletions.note(self.session(MONOLITH), self.capability.name, tables, keys)

    def _keys(self) -> dict[str, list[str]]:
        return references.keys(self._pointers(), self.tables(MONOLITH))
