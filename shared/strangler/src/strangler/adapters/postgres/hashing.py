"""Proves a copy equal: both sides hash the same key ranges, and what differs is looked at row by row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from psycopg import sql

from strangler.adapters.postgres.catalog import Table
from strangler.adapters.postgres.connection import Connection

RANGE_ROWS = 20_000

Key = tuple[Any, ...]
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
    key = _names(table.key)
    query = sql.SQL(
        "SELECT {key} FROM (SELECT {key}, row_number() OVER (ORDER BY {key}) AS position FROM ONLY {table}) k "
        "WHERE position %% {size} = 1 ORDER BY {key}"
    ).format(key=key, table=table.sql(), size=sql.Literal(RANGE_ROWS))
    return [tuple(row) for row in connection.execute(query.as_string().replace("%%", "%").encode()).fetchall()]


def compare(
    owner: Connection, copy: Connection, tables: Sequence[Table], *, settle: Settle, progress: Callable[[int], None]
) -> Proof:
    """Compares all rows of all tables while writes go on.

    A row that differs is asked for again after `settle`, several times, for it may have been on its way; what still
    differs then does differ.
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


def _between(table: Table, low: Key | None, high: Key | None) -> sql.Composed:
    key = _names(table.key)
    parts: list[sql.Composable] = [sql.SQL("true")]
    if low is not None:
        parts.append(sql.SQL("({}) >= ({})").format(key, sql.SQL(", ").join(map(sql.Literal, low))))
    if high is not None:
        parts.append(sql.SQL("({}) < ({})").format(key, sql.SQL(", ").join(map(sql.Literal, high))))
    return sql.SQL(" AND ").join(parts)


def _hash(connection: Connection, table: Table, low: Key | None, high: Key | None) -> tuple[int, Any]:
    query = sql.SQL(
        "SELECT count(*), coalesce(sum(hashtextextended(row({})::text, 0)::numeric), 0) FROM ONLY {} WHERE {}"
    ).format(_names(table.written), table.sql(), _between(table, low, high))
    row = connection.execute(query).fetchone()
    assert row is not None
    return row[0], row[1]


def _rows(connection: Connection, table: Table, where: sql.Composed) -> dict[Key, Row]:
    columns = sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(c)) for c in table.written)
    query = sql.SQL("SELECT {}, {} FROM ONLY {} WHERE {}").format(_names(table.key), columns, table.sql(), where)
    width = len(table.key)
    return {
        tuple(row[:width]): dict(zip(table.written, row[width:], strict=True))
        for row in connection.execute(query).fetchall()
    }


def _differing(table: Table, here: dict[Key, Row], there: dict[Key, Row]) -> list[Difference]:
    found = []
    for key in sorted(here.keys() | there.keys(), key=str):
        if key not in there:
            found.append(Difference(table.name, key, "missing in the copy"))
        elif key not in here:
            found.append(Difference(table.name, key, "only in the copy"))
        elif here[key] != there[key]:
            columns = tuple(c for c in table.written if here[key][c] != there[key][c])
            found.append(Difference(table.name, key, "differs", columns))
    return found


def _look_closer(
    owner: Connection, copy: Connection, table: Table, where: sql.Composed, settle: Settle
) -> list[Difference]:
    found = _differing(table, _rows(owner, table, where), _rows(copy, table, where))
    for _ in range(5):
        if not found:
            break
        keys = matching(table, [difference.key for difference in found])
        # The owner is read first: what was read there is in the copy once it has settled.
        here = _rows(owner, table, keys)
        settle()
        found = _differing(table, here, _rows(copy, table, keys))
    return found


def matching(table: Table, keys: Sequence[Key]) -> sql.Composed:
    """The condition that picks the rows with these keys."""
    values = sql.SQL(", ").join(sql.SQL("({})").format(sql.SQL(", ").join(map(sql.Literal, key))) for key in keys)
    return sql.SQL("({}) IN ({})").format(_names(table.key), values)
