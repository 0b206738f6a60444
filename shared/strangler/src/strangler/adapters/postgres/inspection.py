"""Compares both databases of one capability with what a move needs, and puts some of the differences right."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache

import psycopg

from strangler.adapters import peers
from strangler.adapters.postgres import addresses
from strangler.adapters.postgres.copies import deferring
from strangler.adapters.postgres.ends import Ends
from strangler.adapters.postgres.fences import deletions, mending, standing
from strangler.adapters.postgres.preflight import (
    differing,
    estimating,
    numbers,
    outward,
    preflight,
    probing,
    readers,
    surroundings,
)
from strangler.adapters.postgres.preflight.both import Both
from strangler.adapters.postgres.preflight.looking import Look, found_by
from strangler.adapters.postgres.schema import secret
from strangler.adapters.postgres.schema.outbox import Outbox
from strangler.adapters.postgres.session.connection import Connection, describe, scalar
from strangler.adapters.postgres.streams import sentinels
from strangler.adapters.postgres.tables import catalog, comparing, numbering, references, rules, sequences
from strangler.adapters.postgres.tables.catalog import Table
from strangler.adapters.postgres.tables.references import Pointer
from strangler.domain.errors import ConfigurationError, PreflightError, StackError, StranglerError
from strangler.domain.findings import Estimate, Finding, Looked, Severity
from strangler.domain.move import Deviation
from strangler.domain.names import FORWARD, REVERSE
from strangler.domain.passwords import Passwords
from strangler.domain.project import MONOLITH, SERVICE
from strangler.ports.replication import SHOW_ALL
from strangler.ports.side import LostError

# A stream under any of its names; a stream of another capability or environment has a different name.
LEFT_BY_START = """
SELECT EXISTS (
    SELECT FROM strangler.side s WHERE capability = %s AND NOT open AND epoch <= %s AND peer_url = %s
    AND NOT EXISTS (SELECT FROM pg_subscription_rel r JOIN unnest(s.tables) t ON r.srrelid = to_regclass(t))
)
"""
PEER = "SELECT peer_url FROM strangler.side WHERE capability = %s"


class Inspection(Ends):
    """Changes only fences, notes and addresses, and no row of a moved table."""

    def drift(self) -> list[str]:
        """While rows are copied, the copy lacks unique keys and exclusions; they are compared when they are back."""
        here, there = self.tables(MONOLITH), self.tables(SERVICE)
        return self._drift(here, there, self._rules(here, there))

    def _drift(
        self, here: Sequence[Table], there: Sequence[Table], both: tuple[rules.Database, rules.Database]
    ) -> list[str]:
        whole = not deferring.lacking(self.session(SERVICE), capability=self.capability.name)
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
            for message, remedy, _ in surroundings.obstacles(self.session(side), self.tables(side), ours=ours)
        ]

    def filters(self) -> list[str]:
        """Policies, rules and missing rights of the tool's role, and of the role that applies a stream."""
        return [
            f"in the {side} {one}"
            for side in (MONOLITH, SERVICE)
            for one in readers.filters(self.session(side), self.tables(side))
        ]

    def preflight(self, *, begun: bool, rerun: bool, tell: Callable[[str], None] = lambda _: None) -> Looked:
        """Nearly everything is asked of the catalogues; the rest is tried in transactions that are rolled back."""
        look = Look(tell)
        databases = {MONOLITH: self.project.ledger, SERVICE: self.capability.database}
        reached: dict[str, Connection] = {}
        for side in databases:
            look.at(f"the {side}'s database", lambda side=side: self._reach(side, reached))  # type: ignore[misc]
        found: dict[str, list[Table]] = {}
        for side, connection in reached.items():
            look.at(f"the tables of the {side}", lambda side=side: self._find(side, found))  # type: ignore[misc]
            self._look_at_server(look, side, connection, begun=begun)
        for side, tables in found.items():
            self._look_at_tables(look, side, reached[side], tables, rerun=rerun or begun)
        if len(found) == len(databases):
            self._look_at_both(look, found[MONOLITH], found[SERVICE])
        else:
            missing = " and ".join(side for side in databases if side not in found)
            look.skip("what differs between the two sides", f"the tables of the {missing} were not found")
        if len(reached) == len(databases) and not begun:
            if look.clear:
                look.at("the way from each server to the other", self._look_at_ways)
            else:
                look.skip("the way from each server to the other", "mend what was found first")
        return look.looked

    def outward(self) -> list[Finding]:
        """As the preflight, from the tables as they are now."""
        here, there = self.tables(MONOLITH), self.tables(SERVICE)
        return list(self._outward(self._both(here, there)))

    def estimate(self) -> Estimate:
        """See `estimating.estimate`."""
        try:
            return estimating.estimate(self._both(self.tables(MONOLITH), self.tables(SERVICE)))
        except psycopg.Error as error:
            if isinstance(error, LostError):
                raise
            raise PreflightError(
                f"nothing could be sampled: the database said: {error.diag.message_primary or error}",
                place=self.capability.name,
                remedy="give the tool's role the rights that it says, or go without an estimate",
            ) from error

    def _outward(self, both: Both) -> Iterator[Finding]:
        yield from outward.foreign_keys(both)
        yield from numbers.numbers(both)
        yield from differing.triggers(both)

    def _both(self, here: Sequence[Table], there: Sequence[Table]) -> Both:
        return Both(self.project, self.capability, self.session(MONOLITH), self.session(SERVICE), here, there)

    def _ours(self) -> list[str]:
        """The names of this move's streams, as far as the servers can be reached that give them."""
        names: list[str] = []
        for direction, sender in ((FORWARD, MONOLITH), (REVERSE, SERVICE)):
            with suppress(StackError):
                names += self._stream(direction, sender).known_as
        return names

    def _reach(self, side: str, reached: dict[str, Connection]) -> Iterator[StranglerError]:
        reached[side] = self.session(side)
        yield from ()

    def _find(self, side: str, found: dict[str, list[Table]]) -> Iterator[StranglerError]:
        found[side] = self.tables(side)
        yield from ()

    def _look_at_server(self, look: Look, side: str, connection: Connection, *, begun: bool) -> None:
        if side == MONOLITH:
            look.at("tables without a place", lambda: preflight.every_table_placed(connection, self.project))
        if begun:
            look.at(f"the rights in the {side}", lambda: preflight.rights(connection))
            return
        look.at(
            f"settings, places and rights of the {side}'s server", lambda: preflight.server(connection, self._ours())
        )
        look.at(
            f"the slot's name in the {side}",
            lambda: found_by((self.forward if side == MONOLITH else self.reverse).require_free, connection),
        )

    def _look_at_tables(
        self, look: Look, side: str, connection: Connection, tables: Sequence[Table], *, rerun: bool
    ) -> None:
        database = self.project.ledger if side == MONOLITH else self.capability.database
        look.at(f"keys and owners of the tables of the {side}", lambda: preflight.tables(connection, tables))
        look.at(
            f"policies, rules and rights of the {side}",
            lambda: found_by(readers.fit, connection, tables, self.capability.tables, database=database),
        )
        if look.clear:
            look.at(
                f"whether the tables of the {side} can be published",
                lambda: found_by(probing.writable_when_published, connection, tables),
            )
        else:
            look.skip(f"whether the tables of the {side} can be published", "mend what was found first")
        if table := self.project.databases[database].outbox:
            look.at(f"the outbox of the {side}", lambda: found_by(Outbox(database, table).require, connection))
        if side == MONOLITH:
            look.at("foreign keys into the capability", lambda: preflight.seams(connection, self.capability, tables))
            look.at("references without a constraint", self._look_at_pointers)
            look.at(
                "deletions of what stays",
                lambda: preflight.cascades(connection, self.project, self.capability, tables),
            )
        look.at(
            f"what stands around the tables of the {side}",
            lambda: surroundings.fit(connection, tables, ours=self._ours()),
        )
        if side == MONOLITH:
            look.at("prepared transactions", lambda: surroundings.no_prepared(connection))
            look.at("rows that no copy can take", lambda: surroundings.rows_fit(connection, tables))
        elif not rerun:
            look.at("whether the copy is empty", lambda: preflight.target_empty(connection, tables))

    def _look_at_both(self, look: Look, here: Sequence[Table], there: Sequence[Table]) -> None:
        both = self._both(here, there)
        # Reading the rules takes longest, so they are read once.
        compared = cache(lambda: self._rules(here, there))
        look.at(
            "whether the tables are equal on both sides",
            lambda: self._look_at_drift(self._drift(here, there, compared())),
        )
        look.at("sequences", self._look_at_sequences)
        look.at(
            "what the tables point to, numbers that each database gives out, and triggers",
            lambda: self._outward(both),
        )
        look.at(
            "sorting, encoding, triggers on one side",
            lambda: comparing.notes(*compared(), place=describe(self.dsns[SERVICE])),
        )
        look.at("extensions", lambda: differing.extensions(both))
        look.at("indexes", lambda: differing.indexes(both))
        look.at("settings for applications", lambda: differing.settings(both))

    def _look_at_drift(self, drift: Sequence[str]) -> Iterator[StranglerError]:
        # A policy on one side alone is drift and a filter. First comes the error that the tool would not see every row.
        hidden = self.filters() if drift else []
        if hidden:
            yield PreflightError(
                "not every row can be seen:" + "".join(f"\n    {one}" for one in hidden),
                place=self.capability.name,
                remedy=SHOW_ALL,
                id="rows-hidden",
            )
        elif drift:
            yield PreflightError(
                "the tables are not equal on both sides:" + "".join(f"\n    {one}" for one in drift),
                place=self.capability.name,
                remedy="migrate the side that is behind; nothing has been changed",
                id="tables-differ",
            )

    def _look_at_pointers(self) -> Iterator[Finding]:
        for one in self._pointers():
            if not one.constrained:
                yield Finding(
                    "loose-reference",
                    Severity.NOTE,
                    f"{one.table}.{one.column}",
                    one.describe(),
                    "run `manage.py sweep_references` beside the monolith: it cleans up behind deletions",
                )

    def _look_at_ways(self) -> Iterator[StranglerError]:
        monolith, service = self.session(MONOLITH), self.session(SERVICE)
        for stream, sender, receiver in ((self.forward, monolith, service), (self.reverse, service, monolith)):
            try:
                with preflight.announced(sender, stream.name):
                    preflight.reachable(receiver, stream.publisher, stream.name)
            except PreflightError as error:
                yield error

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

    def deaf(self, capability: str) -> list[str]:
        """Asks each process with the secret by which the monolith signs; the service by the address that the monolith
        knows, at which it is asked in earnest."""
        known = secret.read(self.session(MONOLITH), capability)
        return [
            f"the {side} cannot: {reason}"
            for side, url in self._applications(capability).items()
            if (reason := peers.ask(url, capability, known))
        ]

    def mute(self) -> list[str]:
        """Asks each process in the same way: it answers only if it can read the secret, and so can sign."""
        known = secret.read(self.session(MONOLITH), self.capability.name)
        return [
            f"the {side} cannot: {reason}"
            for side, url in self._applications(self.capability.name).items()
            if (reason := peers.positions(url, self.capability.name, known))
        ]

    def passwords(self) -> dict[str, Passwords]:
        """Asks each process in the same way."""
        name = self.capability.name
        known = secret.read(self.session(MONOLITH), name)
        asked = {side: peers.passwords(url, name, known) for side, url in self._applications(name).items()}
        return {side: told for side, told in asked.items() if told is not None}

    def _applications(self, capability: str) -> dict[str, str]:
        """By side, the address of its process."""
        return {MONOLITH: self.urls[MONOLITH], SERVICE: scalar(self.session(MONOLITH), PEER, capability) or ""}

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

    def _look_at_sequences(self) -> Iterator[StranglerError]:
        monolith, service = self.session(MONOLITH), self.session(SERVICE)
        for database, connection in ((self.project.ledger, monolith), (self.capability.database, service)):
            sequences.present(connection, self.capability, database=database)
        sequences.every_sequence_placed(monolith, self.project)
        sequences.own(monolith, self.project, self.capability, self.tables(MONOLITH))
        misfits = self.misnumbered(MONOLITH)
        if misfits:
            yield PreflightError(
                "numbers could not go on in the service:" + "".join(f"\n    {each}" for each in misfits),
                place=describe(self.dsns[SERVICE]),
                remedy="make the sequences there what they are in the monolith (ALTER SEQUENCE)",
                id="sequences-differ",
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
