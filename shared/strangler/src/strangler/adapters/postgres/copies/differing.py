"""Tells rows that differ from rows that are only on their way, or that never stand still."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from psycopg import sql

from strangler.adapters.postgres.copies.reading import Key, Print, Reader, hash_of
from strangler.adapters.postgres.tables.locks import NOT_FREE, attempt

TRIES = 4
FEW_ROWS = 100  # rows only in the copy for which the owner's writers are held up for an instant
BATCH_ROWS = 50
LOCK_MS = 500
REST_SECONDS = 300.0
MISSING = "missing in the copy"
ONLY_THERE = "only in the copy"
DIFFERS = "differs"
RESTLESS = "was written all the time, and could not be compared"

CatchUp = Callable[[], None]
"""Waits until what the owner has committed so far is in the copy."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A row that is not the same on both sides; ``columns`` names what differs where both have it."""

    table: str
    key: Key
    kind: str
    columns: tuple[str, ...] = ()

    def __str__(self) -> str:
        key = ", ".join(map(str, self.key))
        return f"{self.table} ({key}): {self.kind}{' in ' + ', '.join(self.columns) if self.columns else ''}"


class Judge:
    """Looks at suspects of one proof; ``alive`` is called now and then."""

    def __init__(self, catch_up: CatchUp, alive: Callable[[], None]) -> None:
        self._catch_up = catch_up
        self._alive = alive
        self._budget = REST_SECONDS
        self._extra = 0

    def judge(self, owner: Reader, copy: Reader, keys: Sequence[Key]) -> list[Difference]:
        """The differences among the rows with these keys.

        A row is read on the owner, then in the copy once the stream has caught up, then on the owner again: if the
        owner's row was the same version both times, the copy's must be equal to it. A row that was written meanwhile is
        tried again, and at last held for an instant.
        """
        found: list[Difference] = []
        open_keys = list(keys)
        absent = set(keys)  # not on the owner, each time it was asked
        for _ in range(TRIES):
            if not open_keys:
                return found
            before = owner.prints(open_keys)
            self._catch_up()
            there, after = copy.prints(open_keys), owner.prints(open_keys)
            absent -= before.keys() | after.keys()
            unlike = [key for key in open_keys if hash_of(before, key) != hash_of(there, key)]
            same = [key for key in unlike if key in before and before[key] == after.get(key)]
            found += self._named(owner, copy, same, there)
            open_keys = [key for key in unlike if key not in set(same)]
            self._alive()
        gone = [key for key in open_keys if key in absent]
        self._extra += len(gone)
        if self._extra > FEW_ROWS:
            found += [Difference(copy.table.name, key, ONLY_THERE) for key in gone]
            gone = []
        return found + self._at_rest(owner, copy, [key for key in open_keys if key not in absent], gone)

    def still(self, owner: Reader, copy: Reader, keys: Sequence[Key]) -> list[Difference]:
        """The same, for sides that do not change meanwhile."""
        here, there = owner.prints(keys), copy.prints(keys)
        unlike = [key for key in keys if hash_of(here, key) != hash_of(there, key)]
        extra = [Difference(copy.table.name, key, ONLY_THERE) for key in unlike if key not in here]
        return extra + self._named(owner, copy, [key for key in unlike if key in here], there)

    def _named(self, owner: Reader, copy: Reader, keys: Sequence[Key], there: dict[Key, Print]) -> list[Difference]:
        missing = [key for key in keys if key not in there]
        both = [key for key in keys if key in there]
        found = [Difference(copy.table.name, key, MISSING) for key in missing]
        if both:
            mine, theirs = owner.column_hashes(both), copy.column_hashes(both)
            for key in both:
                pairs = zip(copy.columns, mine.get(key, ()), theirs.get(key, ()), strict=False)
                columns = tuple(name for name, one, other in pairs if one != other)
                found.append(Difference(copy.table.name, key, DIFFERS, columns))
        return found

    def _at_rest(self, owner: Reader, copy: Reader, waiting: Sequence[Key], gone: Sequence[Key]) -> list[Difference]:
        """Compares rows that are held meanwhile, some at a time.

        It waits only for the first of them, while it holds nothing else: a session that holds several rows and waits
        could be part of a deadlock with writers that write them in another order.
        """
        found: list[Difference] = []
        began = time.monotonic()
        rows, missed, absent = list(waiting), dict.fromkeys(waiting, 0), list(gone)
        while rows and time.monotonic() - began < self._budget:
            batch, rest = rows[:BATCH_ROWS], rows[BATCH_ROWS:]
            held, differing = self._hold(owner, copy, batch)
            found += differing
            missed[batch[0]] += 1
            if held is None:  # the first could not be locked
                back = [] if missed[batch[0]] > TRIES else batch[:1]
                found += [] if back else [Difference(copy.table.name, batch[0], RESTLESS)]
                rows = [*batch[1:], *rest, *back]
            else:
                absent += [batch[0]] if batch[0] not in held else []
                rows = [*(key for key in batch[1:] if key not in held), *rest]
            self._alive()
        found += [Difference(copy.table.name, key, RESTLESS) for key in rows]
        found += self._surely_absent(owner, copy, absent) if absent else []
        self._budget -= time.monotonic() - began
        return found

    def _hold(self, owner: Reader, copy: Reader, batch: Sequence[Key]) -> tuple[set[Key] | None, list[Difference]]:
        with suppress(*NOT_FREE), attempt(owner.connection, LOCK_MS):
            here = owner.prints(batch[:1], suffix=" FOR SHARE")
            if len(batch) > 1:
                here |= owner.prints(batch[1:], suffix=" FOR SHARE SKIP LOCKED")
            held = list(here)
            self._catch_up()
            there = copy.prints(held) if held else {}
            unlike = [key for key in held if here[key].hash != hash_of(there, key)]
            return set(held), self._named(owner, copy, unlike, there)
        return None, []

    def _surely_absent(self, owner: Reader, copy: Reader, keys: Sequence[Key]) -> list[Difference]:
        # A row that is not there cannot be held; the table can.
        with suppress(*NOT_FREE), attempt(owner.connection, LOCK_MS):
            owner.connection.execute(sql.SQL("LOCK TABLE ONLY {} IN SHARE MODE").format(owner.table.sql()))
            here = owner.prints(keys)
            self._catch_up()
            there = copy.prints(keys)
            unlike = [key for key in keys if hash_of(here, key) != hash_of(there, key)]
            extra = [Difference(copy.table.name, key, ONLY_THERE) for key in unlike if key not in here]
            return extra + self._named(owner, copy, [key for key in unlike if key in here], there)
        return [Difference(copy.table.name, key, ONLY_THERE) for key in keys]
