"""Proves on the run's own data that the checker would have seen a fault.

One row is corrupted, one dropped and one doubled, in a transaction that is rolled back; the checker must
report each of them with the right fault, and nothing else.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from strangler.rehearsal.checker import Fault, check
from strangler.rehearsal.history import History, Place
from strangler.rehearsal.ports import Damage


@dataclass(frozen=True, slots=True)
class SelfTest:
    """The damage that was done, and the damage that the checker did not see (empty: it saw all)."""

    spoilt: tuple[str, ...]
    missed: tuple[str, ...]

    @property
    def passed(self) -> bool:
        return len(self.spoilt) == 3 and not self.missed


def self_test(histories: Mapping[Place, History], owners: Mapping[str, Damage]) -> SelfTest:
    """Spoils three rows of one table, checks that table again, and takes the damage back."""
    for places in _tables(histories).values():
        damage = owners[places[0].capability]
        with damage.spoiling():
            expected = _spoil(damage, places, histories)
            if expected is None:
                continue  # a unique key or a reference is in the way: another table may let it
            group = {place: histories[place] for place in places}
            seen = {finding.place: finding.fault for finding in check(group, owners)}
        missed = [f"{what} {place}" for place, (what, fault) in expected.items() if seen.get(place) != fault]
        missed += [f"sound {place} reported as {seen[place]}" for place in seen.keys() - expected.keys()]
        return SelfTest(tuple(f"{what} {place}" for place, (what, _) in expected.items()), tuple(missed))
    return SelfTest((), ())


def _tables(histories: Mapping[Place, History]) -> dict[tuple[str, str, tuple[str, ...]], list[Place]]:
    """Places whose row must be there with known values, by table and key columns."""
    tables = defaultdict(list)
    for place, history in histories.items():
        if len(history.allowed) == 1 and history.allowed[0]:
            tables[place.capability, place.table, place.columns].append(place)
    return tables


def _spoil(
    damage: Damage, places: list[Place], histories: Mapping[Place, History]
) -> dict[Place, tuple[str, Fault]] | None:
    if len(places) < 3:
        return None
    corrupted, dropped, doubled = places[0], places[len(places) // 2], places[-1]
    columns = sorted(histories[corrupted].columns - set(corrupted.columns))
    done = (
        damage.double(doubled.table, dict(doubled.key))
        and damage.drop(dropped.table, dict(dropped.key))
        and any(damage.corrupt(corrupted.table, dict(corrupted.key), column) for column in columns)
    )
    if not done:
        return None
    return {
        corrupted: ("corrupted", Fault.LOST),
        dropped: ("dropped", Fault.LOST),
        doubled: ("doubled", Fault.DOUBLED),
    }
