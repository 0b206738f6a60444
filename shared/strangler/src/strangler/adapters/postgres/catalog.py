"""What the system catalogs say of the tables of a capability."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from strangler.adapters.postgres.connection import Connection
from strangler.domain.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Column:
    """One column; ``type`` as ``format_type`` prints it, ``always`` where it is an identity that only the database
    may number."""

    name: str
    type: str
    not_null: bool
    generated: bool
    always: bool


@dataclass(frozen=True, slots=True)
class Table:
    """A table or one partition of it; ``name`` as strangler.toml spells it, ``qualified`` quoted for SQL.

    ``key`` is its primary key's columns, ``identity`` the catalog's letter for its replica identity, ``publishable``
    whether it is ordinary and logged.
    """

    oid: int
    name: str
    qualified: str
    partitioned: bool
    publishable: bool
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    identity: str
    estimate: int

    @property
    def written(self) -> list[str]:
        """The columns that can be written: all but the generated ones."""
        return [column.name for column in self.columns if not column.generated]

    def type_of(self, name: str) -> sql.SQL:
        """The type of a column, ready for a composed query."""
        return sql.SQL(next(column.type for column in self.columns if column.name == name))

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


def _with_names(query: str) -> str:
    """Puts the expression for NAME_OF(class, namespace): what strangler.toml calls a table.

    Unquoted, with its schema unless that is public.
    """
    name = r"CASE WHEN \2.nspname = 'public' THEN \1.relname ELSE \2.nspname || '.' || \1.relname END"
    return re.sub(r"NAME_OF\((\w+), (\w+)\)", name, query)


COLUMNS = """
SELECT attname, format_type(atttypid, atttypmod), attnotnull, attgenerated <> '', attidentity = 'a'
FROM pg_attribute WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""
# A deferrable key identifies no row to a stream.
KEY = """
SELECT a.attname FROM pg_index i, unnest(i.indkey) WITH ORDINALITY AS k(attnum, position)
JOIN pg_attribute a ON a.attnum = k.attnum
WHERE i.indrelid = %s AND a.attrelid = i.indrelid AND i.indisprimary AND i.indimmediate
  AND position <= i.indnkeyatts ORDER BY position
"""
FIND = _with_names("""
SELECT c.oid, c.relkind FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NAME_OF(c, n) = %s
""")
TREE = _with_names("""
SELECT c.oid, NAME_OF(c, n), format('%%I.%%I', n.nspname, c.relname), c.relkind = 'p',
       c.relpersistence = 'p' AND c.relkind IN ('r', 'p'), c.relreplident, greatest(c.reltuples, 0)::bigint
FROM pg_partition_tree(%s) p
JOIN pg_class c ON c.oid = p.relid JOIN pg_namespace n ON n.oid = c.relnamespace ORDER BY p.level, c.relname
""")
PLAIN = TREE.replace("pg_partition_tree(%s) p", "(SELECT %s::oid AS relid, 0 AS level) p")
ALL = _with_names("""
SELECT NAME_OF(c, n) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND n.nspname NOT IN ('information_schema', 'strangler') AND NOT starts_with(n.nspname, 'pg_')
ORDER BY 1
""")
FOREIGN_KEYS = _with_names("""
SELECT k.conname, NAME_OF(child, cn), ca.attname,
       NAME_OF(parent, pn), pa.attname, k.confdeltype
FROM pg_constraint k
JOIN pg_class child ON child.oid = k.conrelid JOIN pg_namespace cn ON cn.oid = child.relnamespace
JOIN pg_class parent ON parent.oid = k.confrelid JOIN pg_namespace pn ON pn.oid = parent.relnamespace
JOIN pg_attribute ca ON ca.attrelid = child.oid AND ca.attnum = k.conkey[1]
JOIN pg_attribute pa ON pa.attrelid = parent.oid AND pa.attnum = k.confkey[1]
WHERE k.contype = 'f' AND k.conparentid = 0 AND k.confrelid = ANY (%s::oid[]) ORDER BY 2, 3
""")


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
        row = connection.execute(FIND, (name,)).fetchone()
        if row is None:
            near = ", ".join(difflib.get_close_matches(name, all_tables(connection), n=5))
            raise ConfigurationError(
                f"there is no table {name} in the database {database}",
                place=f"strangler.toml: table {name}",
                remedy=f"run its migrations, or name one that is there{': ' + near if near else ''}",
            )
        query = TREE if row[1] == "p" else PLAIN
        found += [_table(connection, member) for member in connection.execute(query, (row[0],)).fetchall()]
    return found


def _table(connection: Connection, member: tuple[Any, ...]) -> Table:
    oid, name, qualified, partitioned, publishable, identity, estimate = member
    columns = tuple(Column(*row) for row in connection.execute(COLUMNS, (oid,)).fetchall())
    key = tuple(row[0] for row in connection.execute(KEY, (oid,)).fetchall())
    return Table(oid, name, qualified, partitioned, publishable, columns, key, identity, estimate)


def references_into(connection: Connection, tables: Sequence[Table]) -> list[ForeignKey]:
    """Foreign keys that point into these tables from any other."""
    inside = {table.name for table in tables}
    rows = connection.execute(FOREIGN_KEYS, ([table.oid for table in tables],)).fetchall()
    return [ForeignKey(*row) for row in rows if row[1] not in inside]


def differences(here: Sequence[Table], there: Sequence[Table]) -> list[str]:
    """What is unequal between two sides' tables: one sentence each, empty when a stream can run."""
    mine, theirs = ({table.name: table for table in tables} for tables in (here, there))
    found = [f"{name} is on one side only" for name in sorted(mine.keys() ^ theirs.keys())]
    for table in here:
        if table.name in theirs:
            found += _unequal(table, theirs[table.name])
    return found


def _unequal(table: Table, peer: Table) -> list[str]:
    found: list[str] = []
    mine, theirs = ({column.name: column for column in one.columns} for one in (table, peer))
    for name in sorted(mine.keys() ^ theirs.keys()):
        found.append(f"{table.name}.{name} is on one side only")
    for name in sorted(mine.keys() & theirs.keys()):
        if mine[name].type != theirs[name].type:
            found.append(f"{table.name}.{name} is {mine[name].type} here and {theirs[name].type} there")
        elif mine[name].not_null != theirs[name].not_null:
            found.append(f"{table.name}.{name} is NOT NULL on one side only")
        elif mine[name].generated != theirs[name].generated:
            found.append(f"{table.name}.{name} is generated on one side only")
    if table.key != peer.key:
        found.append(f"{table.name} has another primary key there")
    if table.partitioned != peer.partitioned:
        found.append(f"{table.name} is partitioned on one side only")
    if table.identity != peer.identity and "i" in {table.identity, peer.identity}:
        found.append(f"{table.name} has another replica identity there")
    return found
