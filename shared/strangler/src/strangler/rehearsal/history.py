"""The states that may be in the database: each row's writes in order, and the states that these allow."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from strangler.domain.traffic import Kind, Value, Write
from strangler.rehearsal.journal import Attempt, Outcome

State = dict[str, str | None]


@dataclass(frozen=True, slots=True)
class Place:
    """The place of a row: its table, and the key by which its client knows it."""

    capability: str
    table: str
    key: tuple[tuple[str, str | None], ...]

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(column for column, _ in self.key)

    @property
    def values(self) -> tuple[str | None, ...]:
        return tuple(value for _, value in self.key)

    def __str__(self) -> str:
        return f"{self.table} " + ", ".join(f"{column}={value}" for column, value in self.key)


@dataclass(slots=True)
class History:
    """The states that a row may be in (None: absent), and the last write known to have happened.

    A row whose first write is not an insert was there before the rehearsal.
    """

    allowed: list[State | None]
    last: Kind | None = None
    requests: list[str] = field(default_factory=list)

    def add(self, write: Write, outcome: Outcome, request: str) -> None:
        if outcome is Outcome.REFUSED:
            return
        self.requests.append(f"{request} ({outcome})")
        after = [_after(state, write) for state in self.allowed]
        if outcome is Outcome.ACKNOWLEDGED:
            self.allowed, self.last = after, write.kind
        else:
            self.allowed += after

    @property
    def columns(self) -> set[str]:
        return {column for state in self.allowed if state for column in state}

    def allows(self, state: Mapping[str, str | None]) -> bool:
        return any(
            allowed is not None and all(state[column] == value for column, value in allowed.items())
            for allowed in self.allowed
        )


def gather(attempts: Iterable[Attempt]) -> dict[Place, History]:
    """Histories by place, from attempts in the order in which they were sent."""
    histories: dict[Place, History] = {}
    for attempt in attempts:
        for write in attempt.writes:
            place = Place(write.capability, write.table, tuple(_texts(write.key).items()))
            if place not in histories:
                if attempt.outcome is Outcome.REFUSED and write.kind is not Kind.INSERT:
                    continue  # perhaps it was refused because there is no such row
                histories[place] = History([None if write.kind is Kind.INSERT else {}])
            histories[place].add(write, attempt.outcome, attempt.request)
    return histories


def confusions(attempts: Iterable[Attempt]) -> list[str]:
    """What the scenario does by which nobody can tell which row a write is of: a write that changes a column by which
    rows of its table are found, and a deletion by other columns than those of the table's inserts. Each table once."""
    keys: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    inserted: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    writes = {
        (write.table, write.kind, tuple(write.key), frozenset(write.values) - frozenset(write.key))
        for attempt in attempts
        for write in attempt.writes
    }
    for table, kind, key, _ in writes:
        keys[table].add(key)
        if kind is Kind.INSERT:
            inserted[table].add(key)
    found = {}
    for table, kind, key, changed in sorted(writes, key=str):
        lost = sorted({column for each in keys[table] for column in each} & changed) if kind is Kind.UPDATE else []
        # A column that is told once, and by which others find the row later, is no change of it.
        lost = [column for column in lost if any(column in each for each in inserted[table])]
        if lost:
            found[table] = f"{table}: rows are found by {', '.join(lost)}, and an update changes it"
        elif kind is Kind.DELETE and inserted[table] and key not in inserted[table]:
            by = " or ".join(sorted(", ".join(each) for each in inserted[table]))
            found.setdefault(table, f"{table}: rows are inserted by {by}, and deleted by {', '.join(key)}")
    return list(found.values())


def as_text(value: Value) -> str | None:
    """A value as PostgreSQL prints it."""
    if value is None or isinstance(value, str):
        return value
    return str(value).lower()


def _after(state: State | None, write: Write) -> State | None:
    if write.kind is Kind.DELETE:
        return None
    if write.kind is Kind.UPDATE and state is None:
        return None  # the insert before it did not happen, so neither did this
    return {**(state or {}), **_texts(write.values)}


def _texts(values: Mapping[str, Value]) -> State:
    return {column: as_text(value) for column, value in values.items()}
