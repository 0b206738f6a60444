"""Proves a copy equal: both sides hash the same key ranges, and what differs is looked at row by row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from psycopg import sql

from strangler.adapters.postgres import ordering
from strangler.adapters.postgres.catalog import Table
from strangler.adapters.postgres.connection import Connection
from strangler.adapters.postgres.locks import NOT_FREE

RANGE_ROWS = 20_000
TRIES = 3
FEW_ROWS = 100
LOCK_MS = 500
ONLY_THERE = "only in the copy"

Key = tuple[str, ...]  # as text, whatever the types: a value that Python reads and writes again can come out changed
Row = dict[str, str | None]


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


@dataclass(slots=True)
class Proof:
    """What a verify has found."""

    rows: int = 0
    differences: list[Difference] = field(default_factory=list)


Settle = Callable[[], None]
"""Waits until what the owner has committed so far is in the copy."""


def bounds(connection: Connection, table: Table) -> list[Key]:
    """The first key of every range, in key order."""
    query = sql.SQL(
        "SELECT {texts} FROM (SELECT {key}, row_number() OVER (ORDER BY {key}) AS position FROM ONLY {table}) k "
        "WHERE mod(position, {size}) = {first} ORDER BY position"
    ).format(
        texts=_texts(table.key),
        key=_names(table.key),
        table=table.sql(),
        size=sql.Literal(RANGE_ROWS),
        first=sql.Literal(1 % RANGE_ROWS),
    )
    return [tuple(row) for row in connection.execute(query).fetchall()]


def compare(
    owner: Connection, copy: Connection, tables: Sequence[Table], *, settle: Settle, progress: Callable[[int], None]
) -> Proof:
    """Compares all rows of all tables while writes go on.

    A row that differs is asked for again after `settle`, several times, for it may have been on its way; few that
    still do are looked at once more with the owner's row locked, for one that never rests always looks different.
    """
    proof = Proof()
    for table in tables:
        if table.partitioned:
            continue
        for low, high in _ranges(bounds(owner, table)):
            count, here = _hash(owner, table, low, high)
            if (count, here) != _hash(copy, table, low, high):
                proof.differences += _look_closer(owner, copy, table, _between(table, low, high), settle)
            proof.rows += count
            progress(proof.rows)
    return proof


def _ranges(starts: list[Key]) -> Iterator[tuple[Key | None, Key | None]]:
    # The ends are open, so that rows of the copy before the first and after the last key are seen too.
    inner = starts[1:]
    yield from zip([None, *inner], [*inner, None], strict=True)


def _names(columns: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, columns))


def _texts(columns: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(column)) for column in columns)


def _values(table: Table, key: Key) -> list[sql.Composed]:
    typed = zip(key, table.key, strict=True)
    return [sql.SQL("{}::{}").format(sql.Literal(value), table.type_of(name)) for value, name in typed]


def _between(table: Table, low: Key | None, high: Key | None) -> sql.Composed:
    parts: list[sql.Composable] = [sql.SQL("true")]
    if low is not None:
        parts.append(ordering.at_least(table.key, table.order, _values(table, low)))
    if high is not None:
        parts.append(ordering.below(table.key, table.order, _values(table, high)))
    return sql.SQL(" AND ").join(parts)


def _hash(connection: Connection, table: Table, low: Key | None, high: Key | None) -> tuple[int, Any]:
    query = sql.SQL(
        "SELECT count(*), coalesce(sum(hashtextextended(row({})::text, 0)::numeric), 0) FROM ONLY {} WHERE {}"
    ).format(_names(table.written), table.sql(), _between(table, low, high))
    row = connection.execute(query).fetchone()
    assert row is not None
    return row[0], row[1]


def _rows(connection: Connection, table: Table, where: sql.Composable) -> dict[Key, Row]:
    query = sql.SQL("SELECT {}, {} FROM ONLY {} WHERE {}").format(
        _texts(table.key), _texts(table.written), table.sql(), where
    )
    width = len(table.key)
    return {
        tuple(row[:width]): dict(zip(table.written, row[width:], strict=True))
        for row in connection.execute(query).fetchall()
    }


def _differing(table: Table, here: dict[Key, Row], there: dict[Key, Row]) -> list[Difference]:
    found = []
    for key in sorted(here.keys() | there.keys()):
        if key not in there:
            found.append(Difference(table.name, key, "missing in the copy"))
        elif key not in here:
            found.append(Difference(table.name, key, ONLY_THERE))
        elif here[key] != there[key]:
            columns = tuple(c for c in table.written if here[key][c] != there[key][c])
            found.append(Difference(table.name, key, "differs", columns))
    return found


def _look_closer(
    owner: Connection, copy: Connection, table: Table, where: sql.Composable, settle: Settle
) -> list[Difference]:
    found = _differing(table, _rows(owner, table, where), _rows(copy, table, where))
    for _ in range(TRIES):
        if not found:
            return []
        keys = matching(table, [difference.key for difference in found])
        # The owner is read first: what was read there is in the copy once it has settled.
        here = _rows(owner, table, keys)
        settle()
        found = _differing(table, here, _rows(copy, table, keys))
    if len(found) > FEW_ROWS:
        return found
    return [seen for one in found for seen in _at_rest(owner, copy, table, one, settle)]


def _at_rest(owner: Connection, copy: Connection, table: Table, one: Difference, settle: Settle) -> list[Difference]:
    # One row a transaction: to hold several could deadlock with those who write them in another order.
    where = matching(table, [one.key])
    try:
        with owner.transaction():
            owner.execute("SELECT set_config('statement_timeout', %s, true)", (str(LOCK_MS),))
            here = _rows(owner, table, sql.SQL("{} FOR SHARE").format(where))
            settle()
            return _differing(table, here, _rows(copy, table, where))
    except NOT_FREE:
        return [one]


def matching(table: Table, keys: Sequence[Key]) -> sql.Composable:
    """The condition that picks the rows with these keys."""
    return ordering.among(table.key, table.order, [_values(table, key) for key in keys])
