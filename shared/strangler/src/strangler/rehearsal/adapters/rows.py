"""Looks up rows in PostgreSQL, many at a time, and can spoil some for a self-test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache

import psycopg
from psycopg import sql

from strangler.adapters.postgres.session.connection import Connection
from strangler.adapters.postgres.tables.ordering import EQUALITY
from strangler.domain.errors import ConfigurationError
from strangler.rehearsal.ports import Damage, Found, Text

BATCH_ROWS = 5000
# By type, a value that is another one than the column's, whatever that is. {column} stands for the column.
_LATER = "coalesce({column}, 'epoch') + interval '1 day'"
_MORE = "CASE WHEN {column} > 0 THEN {column} - 1 ELSE coalesce({column}, 0) + 1 END"
_TEXT = ("'spoilt'", "CASE WHEN {column} = 'x' THEN 'y' ELSE 'x' END")
SPOILT: Mapping[str, Sequence[str]] = {
    **dict.fromkeys(("text", "character varying", "character", "citext"), _TEXT),
    **dict.fromkeys(("smallint", "integer", "bigint", "numeric", "real", "double precision"), (_MORE,)),
    **dict.fromkeys(("date", "timestamp without time zone", "timestamp with time zone"), (_LATER,)),
    "time without time zone": ("coalesce({column}, '00:00') + interval '1 hour'",),
    "interval": ("coalesce({column}, '0') + interval '1 day'",),
    "boolean": ("{column} IS NOT TRUE",),
    "uuid": ("gen_random_uuid()",),
    "json": ("""'"spoilt"'""",),
    "jsonb": ("""'"spoilt"'""",),
}
INTEGERS = ("smallint", "integer", "bigint")
# By type, a value that no row's key has. {column} and {table} stand for the key's.
FRESH: Mapping[str, str] = {
    "uuid": "gen_random_uuid()",
    **dict.fromkeys(("text", "character varying"), "left(md5(random()::text), 8)"),
}
BELOW, ABOVE = "(SELECT least(min({column}), 0) - 1 FROM {table})", "(SELECT max({column}) + 1 FROM {table})"
SPOILING = (psycopg.IntegrityError, psycopg.DataError, psycopg.errors.RaiseException)


class PostgresRows(Damage):
    """Rows of the database that ``connection`` (in autocommit) is connected to."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._types = cache(self._read_types)
        self._equalities = cache(self._read_equalities)

    def find(
        self, table: str, key: Sequence[str], columns: Sequence[str], values: Sequence[tuple[Text, ...]]
    ) -> Iterator[Found]:
        """Compares values of the keys' own types, so that an index on them can serve."""
        query = self._query(table, key, columns)
        for start in range(0, len(values), BATCH_ROWS):
            batch = values[start : start + BATCH_ROWS]
            arrays = [[value[place] for value in batch] for place in range(len(key))]
            for number, *texts in self._connection.execute(query, arrays):
                yield Found(start + number - 1, dict(zip(columns, texts, strict=True)))

    @contextmanager
    def spoiling(self) -> Iterator[None]:
        """A transaction that is rolled back."""
        with self._connection.transaction(force_rollback=True):
            yield

    def corrupt(self, table: str, key: Mapping[str, Text], column: str) -> bool:
        """Writes another value of the column's type, where one is known for it."""
        for value in SPOILT.get(self._types(table).get(column, ""), ()):
            query = sql.SQL("UPDATE {} SET {} = {} WHERE {}").format(
                _name(table),
                sql.Identifier(column),
                sql.SQL(value).format(column=sql.Identifier(column)),
                _matches(key),
            )
            if self._spoil(query, list(key.values())):
                return True
        return False

    def drop(self, table: str, key: Mapping[str, Text]) -> bool:
        """A constraint may not allow it."""
        query = sql.SQL("DELETE FROM {} WHERE {}").format(_name(table), _matches(key))
        return self._spoil(query, list(key.values()))

    def double(self, table: str, key: Mapping[str, Text]) -> bool:
        """A fresh key is known only for keys of integers, UUIDs and texts. A row that is found by a column of its
        primary key cannot be doubled: the second one would not be found."""
        for fresh in self._fresh_keys(table):
            if not fresh.keys().isdisjoint(key):
                return False
            columns = [column for column in self._types(table) if column not in fresh]
            values = [sql.SQL(value) for value in fresh.values()]
            query = sql.SQL("INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM {} WHERE {}").format(
                _name(table),
                sql.SQL(", ").join(map(sql.Identifier, [*fresh, *columns])),
                sql.SQL(", ").join([*values, *map(sql.Identifier, columns)]),
                _name(table),
                _matches(key),
            )
            if self._spoil(query, list(key.values())):
                return True
        return False

    def _spoil(self, query: sql.Composed, values: Sequence[Text]) -> bool:
        try:
            with self._connection.transaction():
                return self._connection.execute(query, values).rowcount == 1
        except SPOILING:
            return False

    def _query(self, table: str, key: Sequence[str], columns: Sequence[str]) -> sql.Composed:
        types, equal = self._types(table), self._equalities(table)
        missing = [column for column in (*key, *columns) if column not in types]
        if missing:
            raise ConfigurationError(
                f"the scenario writes to {', '.join(missing)}, which does not exist",
                place=table,
                remedy="name tables and columns in the scenario as the database does",
                id="scenario",
            )
        arrays = [sql.SQL("%s::text[]::{}[]").format(sql.SQL(types[column])) for column in key]
        wanted = [sql.Identifier(f"key_{place}") for place in range(len(key))]
        return sql.SQL(
            "SELECT {results} FROM unnest({arrays}) WITH ORDINALITY AS wanted ({wanted}, number) "
            "JOIN {table} AS held ON {matches}"
        ).format(
            results=sql.SQL(", ").join(
                [sql.SQL("wanted.number")] + [sql.SQL("held.{}::text").format(sql.Identifier(name)) for name in columns]
            ),
            arrays=sql.SQL(", ").join(arrays),
            wanted=sql.SQL(", ").join(wanted),
            table=_name(table),
            matches=sql.SQL(" AND ").join(
                sql.SQL("held.{} {} wanted.{}").format(sql.Identifier(column), sql.SQL(equal[column]), name)
                for column, name in zip(key, wanted, strict=True)
            ),
        )

    def _read_types(self, table: str) -> dict[str, str]:
        """Columns that can be written, with their types; without lengths, which would cut keys off."""
        rows = self._connection.execute(
            "SELECT attname, format_type(atttypid, NULL) FROM pg_attribute WHERE attrelid = to_regclass(%s) "
            "AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum",
            (_name(table).as_string(self._connection),),
        )
        return dict(rows.fetchall())

    def _read_equalities(self, table: str) -> dict[str, str]:
        """How the values of each column are compared."""
        query = sql.SQL(
            "SELECT attname, {} FROM pg_attribute a WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped"
        ).format(sql.SQL(EQUALITY))
        rows = self._connection.execute(query, (_name(table).as_string(self._connection),))
        return dict(rows.fetchall())

    def _fresh_keys(self, table: str) -> Iterator[dict[str, str]]:
        """The columns of the primary key, each with an expression for a fresh value; nothing if one has no such
        expression.

        Integers below all others come first: the next one above is what traffic writes meanwhile, and whoever comes
        second would wait for the other, and fail. A table may forbid them.
        """
        rows = self._connection.execute(
            "SELECT attname, format_type(atttypid, NULL) FROM pg_index JOIN pg_attribute "
            "ON attrelid = indrelid AND attnum = ANY(indkey) "
            "WHERE indisprimary AND indrelid = to_regclass(%s)",
            (_name(table).as_string(self._connection),),
        ).fetchall()
        if any(kind not in (*INTEGERS, *FRESH) for _, kind in rows):
            return
        for number in (BELOW, ABOVE):
            values = {**FRESH, **dict.fromkeys(INTEGERS, number)}
            yield {
                column: sql.SQL(values[kind])
                .format(column=sql.Identifier(column), table=_name(table))
                .as_string(self._connection)
                for column, kind in rows
            }


def _name(table: str) -> sql.Identifier:
    schema, _, name = table.rpartition(".")
    return sql.Identifier(schema or "public", name)


def _matches(key: Mapping[str, Text]) -> sql.Composed:
    return sql.SQL(" AND ").join(sql.SQL("{}::text = %s").format(sql.Identifier(column)) for column in key)
