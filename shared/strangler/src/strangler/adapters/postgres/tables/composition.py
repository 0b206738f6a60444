"""The types of which a column's values are made: domains, arrays, composites and ranges, down to their base types."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from psycopg import sql

from strangler.adapters.postgres.session.connection import Connection

DOMAIN, ARRAY, COMPOSITE = "d", "a", "c"
# Every type of which these are made, each with its own parts.
PARTS = """
WITH RECURSIVE part (whole, field, oid) AS (
    SELECT 0::oid, ''::name, unnest(%s::oid[])
    UNION
    SELECT t.oid, n.field, n.oid FROM part p JOIN pg_type t ON t.oid = p.oid CROSS JOIN LATERAL (
        SELECT ''::name AS field, t.typelem AS oid WHERE t.typtype = 'b' AND t.typcategory = 'A' AND t.typelem <> 0
        UNION ALL SELECT '', t.typbasetype WHERE t.typtype = 'd'
        UNION ALL SELECT a.attname, a.atttypid FROM pg_attribute a
            WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
        UNION ALL SELECT '', r.rngsubtype FROM pg_range r WHERE r.rngtypid = t.oid
        UNION ALL SELECT '', r.rngtypid FROM pg_range r WHERE r.rngmultitypid = t.oid
    ) n
)
SELECT p.whole::int8, p.field::text, t.oid::int8, t.typname::text, format_type(t.oid, NULL),
       CASE WHEN t.typtype = 'b' AND t.typcategory = 'A' AND t.typelem <> 0 THEN 'a' ELSE t.typtype::text END
FROM part p JOIN pg_type t ON t.oid = p.oid ORDER BY p.field
"""
COLUMNS = """
SELECT attrelid::int8, attname::text, atttypid::int8 FROM pg_attribute
WHERE attrelid = ANY (%s::oid[]) AND attnum > 0 AND NOT attisdropped ORDER BY attrelid, attnum
"""


@dataclass(slots=True)
class Type:
    """``sql`` is the type as ``format_type`` prints it, ``kind`` the catalog's letter, or ``a`` for an array.

    ``parts`` are the types of which it is made, in a composite each with the field's name.
    """

    oid: int
    name: str
    sql: str
    kind: str
    parts: list[tuple[str, int]] = field(default_factory=list)


class Types:
    """Some types, and all types of which they are made."""

    def __init__(self, connection: Connection, oids: Iterable[int]) -> None:
        self.by_oid: dict[int, Type] = {}
        parts = []
        for whole, name, oid, *described in connection.execute(PARTS, (sorted(set(oids)),)).fetchall():
            self.by_oid.setdefault(oid, Type(oid, *described))
            parts += [(whole, name, oid)] if whole else []
        for whole, name, oid in parts:
            self.by_oid[whole].parts.append((name, oid))

    def within(self, oid: int) -> list[Type]:
        """The type, and every type of which it is made."""
        found, wanted = {}, [oid]
        while wanted:
            one = self.by_oid[wanted.pop()]
            if one.oid not in found:
                found[one.oid] = one
                wanted += [part for _, part in one.parts]
        return list(found.values())

    def plain_text(self, oid: int) -> bool:
        """Whether it is text or varchar, or a domain over one of these, or an array of one."""
        within = self.within(oid)
        return all(one.kind in (DOMAIN, ARRAY) or one.sql in ("text", "character varying") for one in within)

    def values(self, oid: int, value: sql.Composable, wanted: str, depth: int = 0) -> list[sql.Composable]:
        """Queries for the parts of ``value``, of this type, whose type prints as ``wanted``; ranges are left out."""
        one = self.by_oid[oid]
        if one.sql == wanted:
            return [sql.SQL("SELECT {}").format(value)]
        if one.kind == DOMAIN:
            ((_, base),) = one.parts
            return self.values(base, sql.SQL("({}::{})").format(value, sql.SQL(self.by_oid[base].sql)), wanted, depth)
        if one.kind == COMPOSITE:
            fields = [(sql.SQL("({}).{}").format(value, sql.Identifier(name)), part) for name, part in one.parts]
            return [query for field, part in fields for query in self.values(part, field, wanted, depth)]
        if one.kind == ARRAY:
            ((_, element),) = one.parts
            each, inner = sql.Identifier(f"each_{depth}"), sql.Identifier(f"inner_{depth}")
            return [
                sql.SQL(
                    "SELECT {inner}.value FROM unnest({value}) AS {each} CROSS JOIN LATERAL ({query}) {inner} (value)"
                ).format(inner=inner, value=value, each=each, query=query)
                for query in self.values(element, each, wanted, depth + 1)
            ]
        return []


def columns_of(
    connection: Connection, oids: Sequence[int], wanted: Callable[[Type], bool]
) -> tuple[Types, list[tuple[int, str, int]]]:
    """The columns of these relations in whose values there is such a type, however deep: relation, name, own type."""
    columns = connection.execute(COLUMNS, (list(oids),)).fetchall()
    types = Types(connection, [kind for _, _, kind in columns])
    return types, [(oid, name, kind) for oid, name, kind in columns if any(map(wanted, types.within(kind)))]
