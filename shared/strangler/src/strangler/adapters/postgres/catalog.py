"""What the system catalogs say of the tables of a capability."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from strangler.adapters.postgres.connection import Connection
from strangler.domain.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Column:
    """One column; ``type`` as ``format_type`` prints it."""

    name: str
    type: str
    not_null: bool
    generated: bool


@dataclass(frozen=True, slots=True)
class Table:
    """A table or one partition of it; ``qualified`` is quoted for SQL, ``key`` its primary key's columns."""

    name: str
    qualified: str
    partitioned: bool
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    identity: str
    estimate: int

    @property
    def written(self) -> list[str]:
        """The columns that can be written: all but the generated ones."""
        return [column.name for column in self.columns if not column.generated]

    def sql(self) -> sql.SQL:
        """The name, ready for a composed query."""
        return sql.SQL(self.qualified)


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """A constraint from ``table.column`` to ``parent.parent_column``; ``on_delete`` is a catalog letter."""

    name: str
    table: str
    column: str
    parent: str
    parent_column: str
    on_delete: str


COLUMNS = """
SELECT attname, format_type(atttypid, atttypmod), attnotnull, attgenerated <> ''
FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""
KEY = """
SELECT a.attname FROM pg_index i, unnest(i.indkey) WITH ORDINALITY AS k(attnum, position)
JOIN pg_attribute a ON a.attnum = k.attnum
WHERE i.indrelid = %s::regclass AND a.attrelid = i.indrelid AND i.indisprimary ORDER BY position
"""
TREE = """
SELECT format('%%I.%%I', n.nspname, c.relname), c.relname, c.relkind, c.relreplident, greatest(c.reltuples, 0)::bigint
FROM pg_partition_tree(%s::regclass) p
JOIN pg_class c ON c.oid = p.relid JOIN pg_namespace n ON n.oid = c.relnamespace ORDER BY p.level, c.relname
"""
PLAIN = TREE.replace("pg_partition_tree(%s::regclass) p", "(SELECT %s::regclass AS relid, 0 AS level) p")
ALL = """
SELECT CASE WHEN n.nspname = 'public' THEN c.relname ELSE n.nspname || '.' || c.relname END
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'strangler') AND n.nspname NOT LIKE 'pg_%%'
ORDER BY 1
"""
FOREIGN_KEYS = """
SELECT k.conname, child.relname, ca.attname, parent.relname, pa.attname, k.confdeltype
FROM pg_constraint k
JOIN pg_class child ON child.oid = k.conrelid JOIN pg_class parent ON parent.oid = k.confrelid
JOIN pg_attribute ca ON ca.attrelid = child.oid AND ca.attnum = k.conkey[1]
JOIN pg_attribute pa ON pa.attrelid = parent.oid AND pa.attnum = k.confkey[1]
WHERE k.contype = 'f' AND k.conparentid = 0 AND k.confrelid = ANY (%s::regclass[]) ORDER BY 2, 3
"""


def all_tables(connection: Connection) -> list[str]:
    """Every ordinary table; those outside ``public`` with their schema."""
    return [row[0] for row in connection.execute(ALL).fetchall()]


def read_tables(connection: Connection, names: Sequence[str], *, database: str) -> list[Table]:
    """The named tables with their partitions, parents first.

    Raises:
        ConfigurationError: naming a table that the database does not have.
    """
    found: list[Table] = []
    for name in names:
        row = connection.execute(
            "SELECT to_regclass(%s), relkind FROM pg_class WHERE oid = to_regclass(%s)", (name, name)
        ).fetchone()
        if row is None:
            near = ", ".join(t for t in all_tables(connection) if t.split("_")[0] == name.split("_")[0])
            raise ConfigurationError(
                f"there is no table {name} in the database {database}",
                place=f"strangler.toml: table {name}",
                remedy=f"run its migrations, or name one that is there{': ' + near if near else ''}",
            )
        query = TREE if row[1] == "p" else PLAIN
        found += [_table(connection, member) for member in connection.execute(query, (name,)).fetchall()]
    return found


def _table(connection: Connection, member: tuple[Any, ...]) -> Table:
    qualified, name, kind, identity, estimate = member
    columns = tuple(Column(*row) for row in connection.execute(COLUMNS, (qualified,)).fetchall())
    key = tuple(row[0] for row in connection.execute(KEY, (qualified,)).fetchall())
    return Table(name, qualified, kind == "p", columns, key, identity, estimate)


def references_into(connection: Connection, tables: Sequence[Table]) -> list[ForeignKey]:
    """Foreign keys that point into these tables from any other."""
    inside = {table.name for table in tables}
    rows = connection.execute(FOREIGN_KEYS, ([table.qualified for table in tables],)).fetchall()
    return [ForeignKey(*row) for row in rows if row[1] not in inside]


def differences(here: Sequence[Table], there: Sequence[Table]) -> list[str]:
    """What is unequal between two sides' tables: one sentence each, empty when a stream can run."""
    found: list[str] = []
    by_name = {table.name: table for table in there}
    for table in here:
        peer = by_name.get(table.name)
        if peer is None:
            found.append(f"{table.name} is on one side only")
            continue
        mine = {column.name: column for column in table.columns}
        theirs = {column.name: column for column in peer.columns}
        for name in sorted(mine.keys() ^ theirs.keys()):
            found.append(f"{table.name}.{name} is on one side only")
        for name in sorted(mine.keys() & theirs.keys()):
            if mine[name].type != theirs[name].type:
                found.append(f"{table.name}.{name} is {mine[name].type} here and {theirs[name].type} there")
            elif mine[name].not_null != theirs[name].not_null:
                found.append(f"{table.name}.{name} is NOT NULL on one side only")
        if table.key != peer.key:
            found.append(f"{table.name} has another primary key there")
    return found
