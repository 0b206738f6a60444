"""What the system catalogs say of the tables of a capability."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from strangler.adapters.postgres.session.connection import Connection
from strangler.adapters.postgres.tables import ordering
from strangler.adapters.postgres.tables.expressions import bare
from strangler.domain.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Column:
    """One column; ``type`` as ``format_type`` prints it, ``always`` if it is an identity that only the database may
    number."""

    name: str
    type: str
    not_null: bool
    generated: bool
    always: bool


@dataclass(frozen=True, slots=True)
class Table:
    """A table or one partition of it; ``name`` as strangler.toml spells it, ``qualified`` quoted for SQL.

    ``key`` has the columns of its primary key, ``order`` the operators of each. ``identity`` is the catalog's letter
    for its replica identity, ``publishable`` whether the table is ordinary and logged.
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
    order: tuple[ordering.Operators, ...] = ()

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
    """A constraint from ``columns`` of ``table`` to ``parent_columns`` of ``parent``.

    ``on_delete`` is a catalog letter, ``root`` the table that ``parent`` is a partition of, or itself, and
    ``parent_sql`` the parent as SQL spells it. ``plain``: its values are of the server's own types, so reading them
    runs nobody's code. A constraint that is not ``enforced`` decides nothing.
    """

    name: str
    table: str
    parent: str
    on_delete: str
    columns: tuple[str, ...]
    parent_columns: tuple[str, ...]
    root: str
    parent_sql: str
    plain: bool
    enforced: bool

    @property
    def column(self) -> str:
        """The first column, which is the only one unless the key is composite."""
        return self.columns[0]


def with_names(query: str) -> str:
    """Replaces NAME_OF(class, namespace) by an expression for the table's name as strangler.toml spells it.

    The name is unquoted, and has its schema unless that is public.
    """
    name = r"CASE WHEN \2.nspname = 'public' THEN \1.relname ELSE \2.nspname || '.' || \1.relname END"
    return re.sub(r"NAME_OF\((\w+), (\w+)\)", name, query)


TABLES = with_names("""
SELECT w.name, t.oid, NAME_OF(t, tn), format('%%I.%%I', tn.nspname, t.relname), t.relkind = 'p',
       t.relpersistence = 'p' AND t.relkind IN ('r', 'p'), t.relreplident, greatest(t.reltuples, 0)::bigint
FROM unnest(%s::text[]) WITH ORDINALITY w (name, position)
JOIN pg_class root ON root.relkind IN ('r', 'p')
JOIN pg_namespace rn ON rn.oid = root.relnamespace AND NAME_OF(root, rn) = w.name
CROSS JOIN LATERAL (SELECT relid::oid, level FROM pg_partition_tree(root.oid) UNION SELECT root.oid, 0) tree
JOIN pg_class t ON t.oid = tree.relid JOIN pg_namespace tn ON tn.oid = t.relnamespace
ORDER BY w.position, tree.level, t.relname
""")
COLUMNS = """
SELECT attrelid, attname, format_type(atttypid, atttypmod), attnotnull, attgenerated <> '', attidentity = 'a'
FROM pg_attribute WHERE attrelid = ANY (%s::oid[]) AND attnum > 0 AND NOT attisdropped ORDER BY attrelid, attnum
"""
# A stream cannot identify a row by a deferrable key.
KEYS = """
SELECT i.indrelid, array_agg(a.attname::text ORDER BY k.position)
FROM pg_index i CROSS JOIN unnest(i.indkey) WITH ORDINALITY AS k (attnum, position)
JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
WHERE i.indrelid = ANY (%s::oid[]) AND i.indisprimary AND i.indimmediate AND k.position <= i.indnkeyatts
GROUP BY i.indrelid
"""
ALL = with_names("""
SELECT NAME_OF(c, n) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND n.nspname NOT IN ('information_schema', 'strangler') AND NOT starts_with(n.nspname, 'pg_')
ORDER BY 1
""")
FOREIGN_KEYS = with_names("""
SELECT k.conname, NAME_OF(child, cn), NAME_OF(parent, pn), k.confdeltype, key.columns, key.parent_columns,
       NAME_OF(root, rn), format('%%I.%%I', pn.nspname, parent.relname), key.plain,
       coalesce((to_jsonb(k) ->> 'conenforced')::boolean, true)
FROM pg_constraint k
JOIN pg_class child ON child.oid = k.conrelid JOIN pg_namespace cn ON cn.oid = child.relnamespace
JOIN pg_class parent ON parent.oid = k.confrelid JOIN pg_namespace pn ON pn.oid = parent.relnamespace
JOIN pg_class root ON root.oid = coalesce(pg_partition_root(parent.oid), parent.oid)
JOIN pg_namespace rn ON rn.oid = root.relnamespace
CROSS JOIN LATERAL (
    SELECT array_agg(ca.attname::text ORDER BY pair.position), array_agg(pa.attname::text ORDER BY pair.position),
           bool_and(t.typtype = 'b' AND t.typnamespace = 'pg_catalog'::regnamespace)
    FROM unnest(k.conkey, k.confkey) WITH ORDINALITY pair (child, parent, position)
    JOIN pg_attribute ca ON ca.attrelid = k.conrelid AND ca.attnum = pair.child
    JOIN pg_attribute pa ON pa.attrelid = k.confrelid AND pa.attnum = pair.parent
    JOIN pg_type t ON t.oid = pa.atttypid
) key (columns, parent_columns, plain)
WHERE k.contype = 'f' AND k.conparentid = 0 AND k.{} = ANY (%s::oid[]) ORDER BY 2, 5
""")


def all_tables(connection: Connection) -> list[str]:
    """Every ordinary table; those outside ``public`` with their schema."""
    return [row[0] for row in connection.execute(ALL).fetchall()]


def read_tables(connection: Connection, names: Sequence[str], *, database: str) -> list[Table]:
    """The named tables with their partitions, parents first.

    Raises:
        ConfigurationError: naming a table that the database does not have.
    """
    rows = connection.execute(TABLES, (list(names),)).fetchall()
    for name in names:
        if not any(row[0] == name for row in rows):
            near = ", ".join(difflib.get_close_matches(name, all_tables(connection), n=5))
            raise ConfigurationError(
                f"there is no table {name} in the database {database}",
                place=f"strangler.toml: table {name}",
                remedy=f"run its migrations, or name one that is there{': ' + near if near else ''}",
                id="table-missing",
            )
    _unambiguous(names, rows, database)
    oids = [row[1] for row in rows]
    columns: dict[int, list[Column]] = {oid: [] for oid in oids}
    for oid, *column in connection.execute(COLUMNS, (oids,)).fetchall():
        columns[oid].append(Column(*column))
    keys = dict(connection.execute(KEYS, (oids,)).fetchall())
    operators = {row[:2]: tuple(row[2]) for row in connection.execute(ordering.OF_KEYS, (oids,)).fetchall()}
    return [_table(row[1:], columns[row[1]], keys.get(row[1], ()), operators) for row in rows]


def _unambiguous(names: Sequence[str], rows: Sequence[tuple[Any, ...]], database: str) -> None:
    # `a.b` is a table of the schema `a`, but may also be a table of `public` whose name has a dot.
    for name in names:
        same = [row[3] for row in rows if row[0] == name and row[2] == name]
        if len(same) > 1:
            raise ConfigurationError(
                f"{name} is the name of {' and '.join(same)} in the database {database}",
                place=f"strangler.toml: table {name}",
                remedy="rename one of them: a name without a dot is the only way to tell them apart",
                id="table-elsewhere",
            )


def _table(
    row: tuple[Any, ...],
    columns: Sequence[Column],
    key: Sequence[str],
    operators: Mapping[tuple[int, int], ordering.Operators],
) -> Table:
    oid, name, qualified, partitioned, publishable, identity, estimate = row
    order = tuple(operators.get((oid, place), ordering.PLAIN) for place in range(len(key)))
    return Table(oid, name, qualified, partitioned, publishable, tuple(columns), tuple(key), identity, estimate, order)


def references_into(connection: Connection, tables: Sequence[Table]) -> list[ForeignKey]:
    """Foreign keys that point into these tables from any other."""
    inside = {table.name for table in tables}
    return [key for key in _foreign_keys(connection, "confrelid", tables) if key.table not in inside]


def references_out_of(connection: Connection, tables: Sequence[Table]) -> list[ForeignKey]:
    """Foreign keys that these tables have to any other."""
    inside = {table.name for table in tables}
    return [key for key in _foreign_keys(connection, "conrelid", tables) if key.parent not in inside]


def _foreign_keys(connection: Connection, end: str, tables: Sequence[Table]) -> list[ForeignKey]:
    rows = connection.execute(FOREIGN_KEYS.format(end).encode(), ([table.oid for table in tables],)).fetchall()
    return [
        ForeignKey(name, table, parent, on_delete, tuple(columns), tuple(parent_columns), *rest)
        for name, table, parent, on_delete, columns, parent_columns, *rest in rows
    ]


def differences(here: Sequence[Table], there: Sequence[Table]) -> list[str]:
    """The differences between two sides' tables: one sentence each, none if a stream can run."""
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
        if bare(mine[name].type) != bare(theirs[name].type):
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
