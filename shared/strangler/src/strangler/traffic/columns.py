"""What a database's catalog says of the tables that move: columns, keys, and what they refer to."""

from __future__ import annotations

from collections.abc import Collection

from strangler.adapters.postgres.session.connection import connect
from strangler.adapters.postgres.tables import catalog
from strangler.traffic.known import Column, Shape

COLUMNS = catalog.with_names("""
SELECT NAME_OF(c, n), a.attname, t.typname, t.typcategory,
    CASE WHEN a.atttypmod > 4 AND t.typname IN ('varchar', 'bpchar') THEN a.atttypmod - 4 END,
    EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique AND i.indpred IS NULL
        AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum),
    EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary AND i.indnkeyatts = 1
        AND i.indkey[0] = a.attnum)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
JOIN pg_type t ON t.oid = a.atttypid
WHERE c.relkind IN ('r', 'p') ORDER BY 1, a.attnum
""")
PARENTS = catalog.with_names("""
SELECT NAME_OF(child, cn), a.attname, NAME_OF(parent, pn)
FROM pg_constraint k
JOIN pg_class child ON child.oid = k.conrelid JOIN pg_namespace cn ON cn.oid = child.relnamespace
JOIN pg_class parent ON parent.oid = k.confrelid JOIN pg_namespace pn ON pn.oid = parent.relnamespace
JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1]
WHERE k.contype = 'f' AND k.conparentid = 0 ORDER BY 1, a.attnum
""")
TEXTS = ("varchar", "text", "bpchar", "citext")
WHOLE = ("int2", "int4", "int8")


def read(address: str, wanted: Collection[str]) -> dict[str, Shape]:
    """The wanted tables that are there, by name.

    Raises:
        StranglerError: the database cannot be asked.
    """
    columns: dict[str, dict[str, Column]] = {}
    keys: dict[str, str] = {}
    parents: dict[str, dict[str, tuple[str, str]]] = {}
    with connect(address, purpose="traffic") as connection:
        for table, name, kind, category, limit, unique, primary in connection.execute(COLUMNS.encode()).fetchall():
            if table in wanted:
                columns.setdefault(table, {})[name] = Column(_kind(kind, category), unique, limit)
                if primary:
                    keys[table] = name
        for table, name, parent in connection.execute(PARENTS.encode()).fetchall():
            parents.setdefault(table, {})[name] = (parent, "")
    return {table: Shape(each, keys.get(table), parents.get(table, {})) for table, each in columns.items()}


def _kind(name: str, category: str) -> str:
    if name in TEXTS:
        return "text"
    if name in WHOLE:
        return "number"
    return "boolean" if category == "B" else "other"
