"""Compares the journal with the databases: every acknowledged write must be there, exactly once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from strangler.domain.traffic import Kind
from strangler.rehearsal.history import History, Place, State
from strangler.rehearsal.ports import Rows


class Fault(StrEnum):
    """How a promise was broken."""

    LOST = "lost"  # an acknowledged write is not there, or not as it was sent
    DOUBLED = "doubled"  # there are more rows than writes that could have made them


@dataclass(frozen=True, slots=True)
class Finding:
    """A row that is not as its writes say; ``found`` has what is there instead."""

    fault: Fault
    place: Place
    expected: str
    found: tuple[State, ...]
    requests: tuple[str, ...]


def check(histories: Mapping[Place, History], owners: Mapping[str, Rows]) -> list[Finding]:
    """Looks every place up in the database of its capability's owner."""
    groups: dict[tuple[str, str, tuple[str, ...]], list[Place]] = defaultdict(list)
    for place in histories:
        groups[place.capability, place.table, place.columns].append(place)
    findings = []
    for (capability, table, key), places in groups.items():
        found = _look_up(owners[capability], table, key, places, histories)
        for place in places:
            fault = _judge(histories[place], found[place])
            if fault:
                findings.append(_finding(fault, place, histories[place], found[place]))
    return findings


def _look_up(
    rows: Rows, table: str, key: Sequence[str], places: Sequence[Place], histories: Mapping[Place, History]
) -> dict[Place, list[State]]:
    columns = sorted(set().union(*(histories[place].columns for place in places)))
    found: dict[Place, list[State]] = {place: [] for place in places}
    for row in rows.find(table, key, columns, [place.values for place in places]):
        found[places[row.key]].append(dict(row.columns))
    return found


def _judge(history: History, found: Sequence[State]) -> Fault | None:
    if len(found) > 1:
        return Fault.DOUBLED
    if not found:
        return None if None in history.allowed else Fault.LOST
    if history.allows(found[0]):
        return None
    if history.allowed == [None] and history.last is not Kind.DELETE:
        return Fault.DOUBLED  # every write that could have made the row was refused
    return Fault.LOST


def _finding(fault: Fault, place: Place, history: History, found: Sequence[State]) -> Finding:
    expected = " or ".join("no row" if state is None else f"one row {state}" for state in history.allowed)
    return Finding(fault, place, expected, tuple(found), tuple(history.requests))
