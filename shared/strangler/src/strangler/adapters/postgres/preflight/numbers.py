"""Numbers that each database gives out for itself: a moved row that has one may mean something else in the service."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql

from strangler.adapters.postgres.preflight import outward
from strangler.adapters.postgres.preflight.both import NAMED, Both, patience
from strangler.adapters.postgres.session.connection import Connection
from strangler.adapters.postgres.tables import catalog
from strangler.adapters.postgres.tables.catalog import Table
from strangler.domain.findings import Finding, Severity
from strangler.domain.project import MONOLITH

# What each database numbers for itself, and the columns that say what a row means; the tables are known by Django's
# names for them.
MEANINGS = {
    "a content type": ("app_label", "model"),
    "a permission": ("codename",),
    "a group": ("name",),
    "a site": ("domain",),
}
NUMBERED = catalog.with_names("""
SELECT c.oid::int8, NAME_OF(c, n), format('%I.%I', n.nspname, c.relname),
       array_agg(a.attname::text ORDER BY a.attnum)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relkind = 'r' AND (c.relname ~ '^(django_content_type|auth_permission|auth_group|django_site)$')
GROUP BY c.oid, n.nspname, c.relname
""")
KINDS = {
    "django_content_type": "a content type",
    "auth_permission": "a permission",
    "auth_group": "a group",
    "django_site": "a site",
}
BARE = {
    "a content type": re.compile(r"(^|_)(content_?type|object_type)(_id)?$"),
    "a permission": re.compile(r"(^|_)permission(_id)?$"),
    "a group": re.compile(r"(^|_)(auth_)?group(_id)?$"),
    "a site": re.compile(r"(^|_)site(_id)?$"),
}
INTEGERS = ("smallint", "integer", "bigint")


@dataclass(frozen=True, slots=True)
class Pointer:
    """A column whose values are numbers of this ``kind``, by a foreign key, or only by its name."""

    table: Table
    column: str
    kind: str
    by_key: bool

    @property
    def told(self) -> str:
        place = f"{self.table.name}.{self.column}"
        return (
            f"{place} is the number of {self.kind}"
            if self.by_key
            else (f"{place} is called like the number of {self.kind}")
        )


@dataclass(frozen=True, slots=True)
class _Numbered:
    """A table whose rows each database numbers for itself, with the meaning of each number."""

    oid: int
    name: str
    kind: str
    meanings: Mapping[int, str]


def _numbered(connection: Connection) -> dict[str, _Numbered]:
    """By kind."""
    found: dict[str, _Numbered] = {}
    rows = connection.execute(NUMBERED).fetchall()
    types = next((row for row in rows if row[1].rpartition(".")[2] == "django_content_type"), None)
    for oid, name, spelled, columns in rows:
        kind = KINDS[name.rpartition(".")[2]]
        meaning: sql.Composable = sql.SQL("concat_ws('.', {})").format(
            sql.SQL(", ").join(sql.Identifier("one", column) for column in MEANINGS[kind])
        )
        source = sql.SQL("{} one").format(sql.SQL(spelled))
        if not {*MEANINGS[kind], "id"} <= set(columns):
            continue
        if kind == "a permission" and types is not None:
            source = sql.SQL("{} one JOIN {} type ON type.id = one.content_type_id").format(
                sql.SQL(spelled), sql.SQL(types[2])
            )
            meaning = sql.SQL("concat_ws('.', type.app_label, one.codename)")
        query = sql.SQL("SELECT one.id::bigint, {} FROM {}").format(meaning, source)
        found[kind] = _Numbered(oid, name, kind, dict(connection.execute(query).fetchall()))
    return found


def numbers(both: Both) -> Iterator[Finding]:
    """Columns of moved tables with numbers that mean something else in the service."""
    pointing = list(_pointing(both))
    if not pointing:
        return
    ours, theirs = _numbered(both.monolith), _numbered(both.service)
    for pointer in pointing:
        if pointer.kind in ours:
            yield from _compare(both, pointer, ours[pointer.kind], theirs.get(pointer.kind))


def _pointing(both: Both) -> Iterator[Pointer]:
    by_name = {table.name: table for table in both.here}
    known: set[tuple[str, str]] = set()
    for key in outward.keys(both.monolith, both.here):
        known |= {(key.table, column) for column in key.columns}
        kind = KINDS.get(key.root.rpartition(".")[2])
        if kind is not None and len(key.columns) == 1 and key.parent_columns == ("id",):
            yield Pointer(by_name[key.table], key.columns[0], kind, by_key=True)
    for table in both.here:
        if table.name not in both.capability.tables:
            continue  # a partition has the columns of its root
        for column in table.columns:
            if (table.name, column.name) in known or column.type not in INTEGERS or column.name in table.key[:1]:
                continue
            for kind, pattern in BARE.items():
                if pattern.search(column.name):
                    yield Pointer(table, column.name, kind, by_key=False)


def _compare(both: Both, pointer: Pointer, ours: _Numbered, theirs: _Numbered | None) -> Iterator[Finding]:
    place = f"{both.at(MONOLITH)}: {pointer.table.name}.{pointer.column}"
    if theirs is None:
        if pointer.by_key and ours.meanings:
            yield Finding(
                "numbers-differ",
                Severity.WARNING,
                place,
                f"{pointer.told}, and the service has no {ours.name}: nothing says there what the number means",
                "let the service hold what the number means: the natural key in a column of the moved table, say",
            )
        return
    differing = {
        number: (meaning, theirs.meanings.get(number))
        for number, meaning in ours.meanings.items()
        if theirs.meanings.get(number) != meaning
    }
    used = _used(both.monolith, pointer.table, pointer.column, list(differing)) if differing else set()
    if used is None or used:
        yield Finding(
            "numbers-differ",
            Severity.ERROR if pointer.by_key else Severity.WARNING,
            place,
            f"{pointer.told}, and it means something else in the service ({_shown(differing, used)}): rows would be "
            "taken for others, with a verify that finds no difference"
            + ("" if used is not None else "; it took too long to see which numbers are used"),
            NUMBERS_CURE,
        )
    elif differing and pointer.by_key:
        yield Finding(
            "numbers-differ",
            Severity.WARNING,
            place,
            f"{pointer.told}: no row has a number that means something else in the service today, but "
            f"{len(differing)} of {len(ours.meanings)} numbers do, so a row that is made later may",
            NUMBERS_CURE,
        )


def _shown(differing: Mapping[int, tuple[str, str | None]], used: set[int] | None) -> str:
    told = [
        f"{number} is {mine} in the monolith and {other or 'nothing'} in the service"
        for number, (mine, other) in sorted(differing.items())
        if used is None or number in used
    ]
    return "; ".join(told[:NAMED]) + ("; …" if len(told) > NAMED else "")


NUMBERS_CURE = (
    "give these rows of the service's database the numbers that the monolith's have, before the start, or keep the "
    "natural key in the moved table in place of the number"
)


def _used(connection: Connection, table: Table, column: str, numbers: Sequence[int]) -> set[int] | None:
    """Those of the numbers that rows have; None if that takes too long to find out."""
    query = sql.SQL(
        "SELECT wanted.id FROM unnest({numbers}::bigint[]) AS wanted (id) "
        "WHERE EXISTS (SELECT FROM {table} one WHERE one.{column} = wanted.id)"
    ).format(numbers=sql.Literal(list(numbers)), table=table.sql(), column=sql.Identifier(column))
    try:
        with patience(connection):
            return {row[0] for row in connection.execute(query).fetchall()}
    except psycopg.errors.QueryCanceled:
        return None
