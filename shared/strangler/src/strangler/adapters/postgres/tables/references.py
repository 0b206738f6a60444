"""References into a capability from tables that stay: foreign keys, and references that only strangler.toml names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from strangler.adapters.postgres.session.connection import Connection, scalar
from strangler.adapters.postgres.tables import catalog
from strangler.adapters.postgres.tables.catalog import Table
from strangler.domain.errors import ConfigurationError
from strangler.domain.project import Capability, Project, Reference

# Types of the same category can be compared; text and a number, or a uuid and a number, are of different categories.
COLUMNS = catalog.with_names("""
SELECT a.attname, t.typcategory::text || CASE WHEN t.typcategory = 'U' THEN t.typname::text ELSE '' END
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type d ON d.oid = a.atttypid
JOIN pg_type t ON t.oid = CASE WHEN d.typtype = 'd' THEN d.typbasetype ELSE d.oid END
WHERE c.relkind IN ('r', 'p') AND NAME_OF(c, n) = %s ORDER BY a.attnum
""")
POINTS_AT = catalog.with_names("""
SELECT NAME_OF(parent, pn) FROM pg_constraint k
JOIN pg_class child ON child.oid = k.conrelid JOIN pg_namespace cn ON cn.oid = child.relnamespace
JOIN pg_class parent ON parent.oid = k.confrelid JOIN pg_namespace pn ON pn.oid = parent.relnamespace
JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey)
WHERE k.contype = 'f' AND NAME_OF(child, cn) = %s AND a.attname = %s LIMIT 1
""")


@dataclass(frozen=True, slots=True)
class Pointer:
    """``table.column`` points at ``columns`` of the table ``parent``, by a constraint or by strangler.toml's word."""

    table: str
    column: str
    parent: str
    columns: tuple[str, ...]
    constrained: bool

    def describe(self) -> str:
        """What will happen to the reference, for the warnings of a start."""
        at = ", ".join(f"{self.parent}.{column}" for column in self.columns)
        return f"{self.table}.{self.column} → {at}: no constraint in the database; swept by what the models say of it"


def pointers(
    connection: Connection, project: Project, capability: Capability, tables: Sequence[Table]
) -> list[Pointer]:
    """Every constraint into the capability, then every named reference that has no constraint.

    A named reference whose table has moved away with another capability points at nothing any more.

    Raises:
        ConfigurationError: a named reference cannot be as strangler.toml says.
    """
    into = catalog.references_into(connection, tables)
    found = [Pointer(key.table, key.column, key.root, key.parent_columns, constrained=True) for key in into]
    elsewhere = {table for other in project.capabilities.values() for table in other.tables}
    present = set(catalog.all_tables(connection))
    for index, reference in enumerate(capability.references):
        if reference.table in capability.tables:
            continue  # the stream itself carries its deletions
        named = _Named(connection, capability, tables, reference, index)
        keys = [key for key in into if key.table == reference.table and reference.column in key.columns]
        if keys:
            named.agree_with({(key.root, column) for key in keys for column in key.parent_columns})
        elif reference.table in present or reference.table not in elsewhere:
            found += named.pointers(present)
    return found


def keys(found: Iterable[Pointer], tables: Sequence[Table]) -> dict[str, list[str]]:
    """By table, the columns whose values say which row is gone: its key, and all columns that something points at."""
    wanted: dict[str, list[str]] = {}
    for pointer in found:
        key = next(table.key for table in tables if table.name == pointer.parent)
        columns = wanted.setdefault(pointer.parent, list(key))
        columns += [column for column in pointer.columns if column not in columns]
    return wanted


class _Named:
    """Compares one reference of strangler.toml with the database."""

    def __init__(
        self,
        connection: Connection,
        capability: Capability,
        tables: Sequence[Table],
        reference: Reference,
        index: int,
    ) -> None:
        self.connection = connection
        self.tables = [table for table in tables if table.name in capability.tables]
        self.reference = reference
        self.place = f"strangler.toml: capabilities.{capability.name}.references[{index}]"

    def agree_with(self, constrained: set[tuple[str, str]]) -> None:
        """Refuses a `to` that differs from where the constraint leads."""
        to = self.reference.to
        if to and not any(to in {column, f"{table}.{column}"} for table, column in constrained):
            at = ", ".join(sorted(f"{table}.{column}" for table, column in constrained))
            raise self._error(
                f"{self._name} points at {at} in the database, not at {to}",
                remedy="remove `to`: the constraint says where it points",
            )

    def pointers(self, present: set[str]) -> list[Pointer]:
        """Where a reference without a constraint may point: where `to` says, else any key of the same type."""
        kind = self._kind(present)
        elsewhere = scalar(self.connection, POINTS_AT, self.reference.table, self.reference.column)
        if elsewhere is not None and self.reference.to is None:
            raise self._error(
                f"{self._name} points at {elsewhere} in the database, which is no table of this capability",
                remedy="remove it, or name the capability's column that it points at, too, by `to`",
            )
        at = self._told() if self.reference.to else self._likely(kind)
        if not at:
            raise self._error(
                f"nothing in the database says where {self._name} points, and no key here is of its type",
                remedy='name the column that it points at: to = "table.column"',
            )
        return [
            Pointer(self.reference.table, self.reference.column, table.name, (column,), constrained=False)
            for table, column in at
        ]

    def _kind(self, present: set[str]) -> str:
        table, column = self.reference.table, self.reference.column
        if table not in present:
            raise self._error(f"there is no table {table}", remedy=_nearest(table, present))
        columns = dict(self.connection.execute(COLUMNS, (table,)).fetchall())
        if column not in columns:
            raise self._error(f"{table} has no column {column}", remedy=_nearest(column, columns))
        kind: str = columns[column]
        return kind

    def _told(self) -> list[tuple[Table, str]]:
        to = self.reference.to
        known = {
            name: (table, column.name)
            for table in self.tables
            for column in table.columns
            for name in (column.name, f"{table.name}.{column.name}")
        }
        if to not in known:
            raise self._error(f"to: no table of this capability has the column {to}", remedy=_nearest(str(to), known))
        return [
            (table, column.name)
            for table in self.tables
            for column in table.columns
            if to in {column.name, f"{table.name}.{column.name}"}
        ]

    def _likely(self, kind: str) -> list[tuple[Table, str]]:
        single = [table for table in self.tables if len(table.key) == 1]
        kinds = {table.name: dict(self.connection.execute(COLUMNS, (table.name,)).fetchall()) for table in single}
        return [(table, table.key[0]) for table in single if kinds[table.name][table.key[0]] == kind]

    @property
    def _name(self) -> str:
        return f"{self.reference.table}.{self.reference.column}"

    def _error(self, message: str, *, remedy: str) -> ConfigurationError:
        return ConfigurationError(message, place=self.place, remedy=remedy, id="reference-wrong")


def _nearest(name: str, known: Iterable[str]) -> str:
    near = ", ".join(difflib.get_close_matches(name, list(known), n=3))
    return f"did you mean {near}?" if near else "name one that is there, or remove the reference"
