"""How keys are compared: by the operators of the key's own index, in whatever schema they are.

Note "own operators": a type of an extension has its operators in the extension's schema. A bare ``=`` or ``>=`` does
not find them without that schema in the search path, and silently falls back to another type's operators: ``citext`` is
compared as text, while ORDER BY and the index keep their own order. Ranges cut by one order miss rows of the other.
"""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

Operators = tuple[str, ...]
"""The operators of one column, by the strategies of a btree: less, less or equal, equal, greater or equal, greater."""

LESS, AT_MOST, EQUAL, AT_LEAST, GREATER = range(5)
PLAIN: Operators = tuple(f"OPERATOR(pg_catalog.{name})" for name in ("<", "<=", "=", ">=", ">"))

OF_KEYS = """
SELECT i.indrelid, k.position::int - 1, array_agg(format('OPERATOR(%%I.%%s)', n.nspname, o.oprname)
                                                  ORDER BY m.amopstrategy)
FROM pg_index i CROSS JOIN unnest(i.indclass::oid[]) WITH ORDINALITY AS k (opclass, position)
JOIN pg_opclass c ON c.oid = k.opclass JOIN pg_am a ON a.oid = c.opcmethod AND a.amname = 'btree'
JOIN pg_amop m ON m.amopfamily = c.opcfamily AND m.amoplefttype = c.opcintype AND m.amoprighttype = c.opcintype
JOIN pg_operator o ON o.oid = m.amopopr JOIN pg_namespace n ON n.oid = o.oprnamespace
WHERE i.indrelid = ANY (%s::oid[]) AND i.indisprimary AND i.indimmediate
GROUP BY 1, 2
"""

# The equality of a column `a` of pg_attribute, as a default index on it would have it; a domain has its base type's.
# For a query with parameters.
EQUALITY = """
coalesce((
    WITH RECURSIVE b (oid, base) AS (
        SELECT t.oid, t.typbasetype FROM pg_type t WHERE t.oid = a.atttypid
        UNION ALL SELECT t.oid, t.typbasetype FROM pg_type t JOIN b ON t.oid = b.base
    )
    SELECT format('OPERATOR(%%I.%%s)', n.nspname, o.oprname)
    FROM b JOIN pg_opclass c ON c.opcintype = b.oid AND c.opcdefault
    JOIN pg_am y ON y.oid = c.opcmethod AND y.amname IN ('btree', 'hash')
    JOIN pg_amop m ON m.amopfamily = c.opcfamily AND m.amoplefttype = c.opcintype AND m.amoprighttype = c.opcintype
        AND m.amopstrategy = CASE y.amname WHEN 'btree' THEN 3 ELSE 1 END
    JOIN pg_operator o ON o.oid = m.amopopr JOIN pg_namespace n ON n.oid = o.oprnamespace
    WHERE b.base = 0 ORDER BY y.amname LIMIT 1
), 'OPERATOR(pg_catalog.=)')
"""


def at_least(
    columns: Sequence[sql.Composable], order: Sequence[Operators], values: Sequence[sql.Composable]
) -> sql.Composable:
    """The rows whose key is ``values`` or comes after it."""
    return _beside(columns, order, values, inside=GREATER, outside=AT_LEAST, last=AT_LEAST)


def below(
    columns: Sequence[sql.Composable], order: Sequence[Operators], values: Sequence[sql.Composable]
) -> sql.Composable:
    """The rows whose key comes before ``values``."""
    return _beside(columns, order, values, inside=LESS, outside=AT_MOST, last=LESS)


def _beside(
    columns: Sequence[sql.Composable],
    order: Sequence[Operators],
    values: Sequence[sql.Composable],
    *,
    inside: int,
    outside: int,
    last: int,
) -> sql.Composable:
    if _plain(order):
        # One comparison of rows, which can use an index on all columns.
        compared = sql.SQL(PLAIN[last])
        return sql.SQL("({}) {} ({})").format(_listed(columns), compared, sql.SQL(", ").join(values))
    parts = [
        [_one(column, operators, which, value) for which in (inside, EQUAL)]
        for column, operators, value in zip(columns, order, values, strict=True)
    ]
    found: sql.Composable = _one(columns[-1], order[-1], last, values[-1])
    for beyond, same in reversed(parts[:-1]):
        found = sql.SQL("({} OR ({} AND {}))").format(beyond, same, found)
    # Redundant, but lets the query use an index on the first column.
    return sql.SQL("({} AND {})").format(_one(columns[0], order[0], outside, values[0]), found) if parts[1:] else found


def _one(column: sql.Composable, operators: Operators, which: int, value: sql.Composable) -> sql.Composable:
    return sql.SQL("{} {} {}").format(column, sql.SQL(operators[which]), value)


def _listed(columns: Sequence[sql.Composable]) -> sql.Composed:
    return sql.SQL(", ").join(columns)


def among(
    columns: Sequence[str], order: Sequence[Operators], rows: Sequence[Sequence[sql.Composable]]
) -> sql.Composable:
    """The rows with one of these keys."""
    # The server joins VALUES by a hash; it would try a plain list of pairs one by one.
    listed = sql.SQL(", ").join(sql.SQL("({})").format(sql.SQL(", ").join(row)) for row in rows)
    if _plain(order):
        return sql.SQL("({}) IN (VALUES {})").format(_listed([*map(sql.Identifier, columns)]), listed)
    wanted = [f"strangler wanted {place}" for place in range(len(columns))]
    same = [
        sql.SQL("{} {} {}").format(sql.Identifier(column), sql.SQL(operators[EQUAL]), sql.Identifier(name))
        for column, operators, name in zip(columns, order, wanted, strict=True)
    ]
    return sql.SQL("EXISTS (SELECT FROM (VALUES {}) AS strangler_wanted ({}) WHERE {})").format(
        listed, _listed([*map(sql.Identifier, wanted)]), sql.SQL(" AND ").join(same)
    )


def _plain(order: Sequence[Operators]) -> bool:
    return all(operators == PLAIN for operators in order)
