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
    """The damage that was done, and the damage that the checker did not see (empty: it saw all); ``obstacles`` says of
    each table why nothing could be spoilt there."""

    spoilt: tuple[str, ...]
    missed: tuple[str, ...]
    obstacles: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return len(self.spoilt) == 3 and not self.missed

    def __str__(self) -> str:
        """Why it has not passed."""
        return "; ".join(self.missed or self.obstacles) or f"no table with {ROWS} rows to spoil"


ROWS = 3  # of one table: one to corrupt, one to drop, one to double


def self_test(
    histories: Mapping[Place, History], owners: Mapping[str, Damage], *, under_traffic: bool = False
) -> SelfTest:
    """Spoils three rows of one table, checks that table again, and takes the damage back.

    ``under_traffic`` rows beside those may change meanwhile, so only the spoilt ones are looked at.
    """
    obstacles = []
    for (_, table, _), places in _tables(histories).items():
        damage = owners[places[0].capability]
        with damage.spoiling():
            expected, obstacle = _spoil(damage, places, histories)
            if obstacle:
                obstacles.append(f"{table}: {obstacle}")
                continue  # another table may let it
            looked_at = expected if under_traffic else places
            seen = {finding.place: finding.fault for finding in check({at: histories[at] for at in looked_at}, owners)}
        missed = [f"{what} {place}" for place, (what, fault) in expected.items() if seen.get(place) != fault]
        missed += [f"sound {place} reported as {seen[place]}" for place in seen.keys() - expected.keys()]
        return SelfTest(tuple(f"{what} {place}" for place, (what, _) in expected.items()), tuple(missed))
    return SelfTest((), (), tuple(obstacles))


def _tables(histories: Mapping[Place, History]) -> dict[tuple[str, str, tuple[str, ...]], list[Place]]:
    """Places whose row must be there with known values, by table and key columns."""
    tables = defaultdict(list)
    for place, history in histories.items():
        if len(history.allowed) == 1 and history.allowed[0]:
            tables[place.capability, place.table, place.columns].append(place)
    return tables


def _spoil(
    damage: Damage, places: list[Place], histories: Mapping[Place, History]
) -> tuple[dict[Place, tuple[str, Fault]], str]:
    """The damage that was done; or what is in the way of it."""
    if len(places) < ROWS:
        return {}, f"{len(places)} rows are known for sure, and {ROWS} are needed"
    corrupted, dropped, doubled = places[0], places[len(places) // 2], places[-1]
    columns = sorted(histories[corrupted].columns - set(corrupted.columns))
    if not damage.double(doubled.table, dict(doubled.key)):
        return {}, "no row can be doubled: a unique key, or a primary key of a type that no fresh value is known for"
    if not damage.drop(dropped.table, dict(dropped.key)):
        return {}, "no row can be dropped: something refers to it"
    if not any(damage.corrupt(corrupted.table, dict(corrupted.key), column) for column in columns):
        named = ", ".join(columns) or "none, for its writes name no values beside the key"
        return {}, f"no value can be changed ({named})"
    return {
        corrupted: ("corrupted", Fault.LOST),
        dropped: ("dropped", Fault.LOST),
        doubled: ("doubled", Fault.DOUBLED),
    }, ""
