"""What a proof reads of one side's table: hashes of ranges, rows and columns, and never a row itself.

Note "as the server writes it": values go from one side to the other as their types' output functions write them,
and their input functions read them. A cast to text is not the same: a type may have a cast of its own, which says less
(``inet`` has one, and so has ``bpchar``, whose cast removes blanks), or something quite different.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any, NamedTuple

from psycopg import Cursor, sql

from strangler.adapters.postgres.session.connection import Connection, scalar
from strangler.adapters.postgres.tables import ordering
from strangler.adapters.postgres.tables.catalog import Table

Key = tuple[str, ...]  # text for all types: a value that Python reads and writes again can come out changed
Total = tuple[int, Decimal]
"""How many rows there are, and the sum of their hashes."""


# By rows per page, as the planner counts them: the number of rows at the last ANALYZE may be old.
WIDTH = """
SELECT pg_table_size(oid) / nullif(reltuples / nullif(relpages, 0)
                                   * (pg_relation_size(oid) / current_setting('block_size')::int), 0)
FROM pg_class WHERE oid = %s AND reltuples > 0
"""

PAGES = "SELECT pg_relation_size(%s::oid::regclass) / current_setting('block_size')::int"
SAMPLED = 10  # of how many pages one is in a sample
LEAST_PAGES, MOST_PAGES = 1_000, 20_000  # of a sample
RANGE_PAGES = 8  # of a sample, for each range


class Range(NamedTuple):
    """Keys from ``low`` up to ``high``, without ``high`` itself; None is no limit."""

    low: Key | None = None
    high: Key | None = None

    def cut(self, starts: Sequence[Key]) -> Iterator[Range]:
        """One range per start. The outer ends stay those of this range, so that no row of the other side falls
        between."""
        inner = starts[1:]
        for low, high in zip([self.low, *inner], [*inner, self.high], strict=True):
            yield Range(low, high)


class Print(NamedTuple):
    """A row's hash, and the version of the row that was hashed."""

    hash: int
    version: str


@dataclass
class Reader:
    """One table on one side. ``columns`` are read in this order on both sides.

    ``by_bytes`` sorts text keys by their bytes: this is for databases that sort differently, and cannot use the index.
    """

    connection: Connection
    table: Table
    columns: tuple[str, ...]
    by_bytes: bool = False

    def starts(self, within: Range, size: int) -> list[Key]:
        """The first key of every ``size`` rows, in key order."""
        # A column of the key may have any name, so also this one.
        number = sql.Identifier(_unlike("row_number", self.table.key))
        query = sql.SQL(
            "SELECT {key} FROM (SELECT {key}, row_number() OVER (ORDER BY {order}) AS {number} FROM ONLY {table} "
            "WHERE {within}) AS numbered WHERE mod({number}, {size}) = {first} ORDER BY {number}"
        ).format(
            key=_names(self.table.key),
            order=sql.SQL(", ").join(self._order),
            number=number,
            table=self.table.sql(),
            within=self._between(within),
            size=sql.Literal(size),
            first=sql.Literal(1 % size),
        )
        return [_key(row) for row in as_written(self.connection.execute(query))]

    def bounds(self, size: int) -> list[Key]:
        """Keys in their order that cut the table into ranges of about ``size`` rows; from a sample, if it is large.

        Ranges of the largest tables have more rows, for a range of only a few pages of the sample is of any size.
        """
        pages = int(scalar(self.connection, PAGES, self.table.oid))
        sampled = max(LEAST_PAGES, min(pages // SAMPLED, MOST_PAGES))
        if sampled >= pages:
            return self.starts(Range(), size)
        number, rows = (sql.Identifier(_unlike(name, self.table.key)) for name in ("row_number", "row_count"))
        query = sql.SQL(
            "SELECT {key} FROM (SELECT {key}, row_number() OVER (ORDER BY {order}) AS {number}, count(*) OVER () "
            "AS {rows} FROM ONLY {table} TABLESAMPLE system ({percent})) AS sample "
            "WHERE mod({number}, greatest({size}, {rows} / {most})) = 1 ORDER BY {number}"
        ).format(
            key=_names(self.table.key),
            order=sql.SQL(", ").join(self._order),
            number=number,
            rows=rows,
            table=self.table.sql(),
            percent=sql.Literal(100 * sampled / pages),
            size=sql.Literal(max(2, size * sampled // pages)),
            most=sql.Literal(sampled // RANGE_PAGES),
        )
        return [_key(row) for row in as_written(self.connection.execute(query))]

    def total(self, within: Range) -> Total:
        """How many rows there are, and the sum of their hashes."""
        query = sql.SQL("SELECT count(*), coalesce(sum({}), 0) FROM ONLY {} WHERE {}").format(
            self._hash, self.table.sql(), self._between(within)
        )
        row = self.connection.execute(query).fetchone()
        assert row is not None
        return row[0], row[1]

    def prints(self, where: Range | Sequence[Key], *, suffix: str = "") -> dict[Key, Print]:
        """Hash and version of each row in a range, or of each row with one of these keys."""
        condition = self._between(where) if isinstance(where, Range) else self.matching(where)
        query = sql.SQL("SELECT {}, {}, xmin, ctid FROM ONLY {} WHERE {}{}").format(
            _names(self.table.key), self._hash, self.table.sql(), condition, sql.SQL(suffix)
        )
        rows = as_written(self.connection.execute(query))
        return {_key(row): Print(int(digest or 0), f"{xmin} {ctid}") for *row, digest, xmin, ctid in rows}

    def column_hashes(self, keys: Sequence[Key]) -> dict[Key, tuple[str | None, ...]]:
        """A hash of each column of the rows with these keys."""
        hashes = sql.SQL(", ").join(_hash([column]) for column in self.columns)
        query = sql.SQL("SELECT {}, {} FROM ONLY {} WHERE {}").format(
            _names(self.table.key), hashes, self.table.sql(), self.matching(keys)
        )
        width = len(self.table.key)
        rows = as_written(self.connection.execute(query))
        return {_key(row[:width]): tuple(row[width:]) for row in rows}

    def bytes_a_row(self) -> float:
        """The table's size divided by its rows, large values included; 0 if that is not known."""
        return float(scalar(self.connection, WIDTH, self.table.oid) or 0.0)

    def matching(self, keys: Sequence[Key]) -> sql.Composable:
        """The condition that picks the rows with these keys."""
        return matching(self.table, keys)

    @property
    def _hash(self) -> sql.Composed:
        return _hash(self.columns)

    @cached_property
    def _order(self) -> list[sql.Composed]:
        collated: set[str] = set()
        if self.by_bytes:
            query = "SELECT attname FROM pg_attribute WHERE attrelid = %s AND attcollation <> 0"
            collated = {row[0] for row in self.connection.execute(query, (self.table.oid,)).fetchall()}
        return [
            sql.SQL('{} COLLATE pg_catalog."C"' if column in collated else "{}").format(sql.Identifier(column))
            for column in self.table.key
        ]

    def _between(self, within: Range) -> sql.Composed:
        parts: list[sql.Composable] = [sql.SQL("true")]
        if within.low is not None:
            parts.append(ordering.at_least(self._order, self.table.order, _values(self.table, within.low)))
        if within.high is not None:
            parts.append(ordering.below(self._order, self.table.order, _values(self.table, within.high)))
        return sql.SQL(" AND ").join(parts)


def hash_of(prints: dict[Key, Print], key: Key) -> int | None:
    """The hash of a row; None if there is no such row."""
    return prints[key].hash if key in prints else None


def matching(table: Table, keys: Sequence[Key]) -> sql.Composable:
    """The condition that picks the rows with these keys, of which there is at least one."""
    return ordering.among(table.key, table.order, [_values(table, key) for key in keys])


def as_written(cursor: Cursor[Any]) -> list[list[str | None]]:
    """The rows as the server has sent them (see the note "as the server writes it")."""
    result = cursor.pgresult
    assert result is not None
    values = [[result.get_value(row, place) for place in range(result.nfields)] for row in range(result.ntuples)]
    return [[None if value is None else bytes(value).decode() for value in row] for row in values]


def _key(values: Sequence[str | None]) -> Key:
    return tuple(value or "" for value in values)  # no part of a key is NULL


def _hash(columns: Sequence[str]) -> sql.Composed:
    # The text of a row is made from the output functions of its columns, and nobody can define a cast for it.
    return sql.SQL("hashtextextended(row({})::text, 0)").format(_names(columns))


def _unlike(name: str, others: Sequence[str]) -> str:
    while name in others:
        name += "_"
    return name


def _names(columns: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, columns))


def _values(table: Table, key: Key) -> list[sql.Composed]:
    # A literal that has no type yet is read by the input function of the type that it gets here.
    typed = zip(key, table.key, strict=True)
    return [sql.SQL("{}::{}").format(sql.Literal(value), table.type_of(name)) for value, name in typed]
