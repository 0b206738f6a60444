"""Whatever decides what a table accepts or returns, told so that two databases can be compared by it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from strangler.adapters.postgres.catalog import Table
from strangler.adapters.postgres.connection import Connection, scalar
from strangler.adapters.postgres.expressions import bare, meaning

COLUMNS = """
SELECT a.attrelid::int8, a.attname, a.atttypid::int8, format_type(a.atttypid, a.atttypmod), a.attidentity::text,
       a.attgenerated::text, pg_get_expr(d.adbin, d.adrelid), a.attcollation::int8
FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = ANY (%s::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
"""
# One that is not enforced decides nothing; an index that is not valid may have let duplicates pass.
CONSTRAINTS = """
SELECT k.conrelid::int8, pg_get_constraintdef(k.oid),
       k.contype = 'f' AND NOT k.confrelid = ANY (%(oids)s::oid[]), k.contype = 'f'
FROM pg_constraint k
WHERE k.conrelid = ANY (%(oids)s::oid[]) AND (k.contype IN ('c', 'x') OR k.contype = 'f' AND k.conparentid = 0)
"""
UNIQUES = """
SELECT x.indrelid::int8, pg_get_expr(x.indpred, x.indrelid), x.indnullsnotdistinct, coalesce(k.condeferrable, false),
       coalesce(k.condeferred, false),
       CASE WHEN x.indisexclusion THEN ARRAY[pg_get_constraintdef(k.oid)] ELSE parts.of_key END
FROM pg_index x LEFT JOIN pg_constraint k ON k.conindid = x.indexrelid AND k.contype IN ('u', 'p')
CROSS JOIN LATERAL (
    SELECT array_agg(pg_get_indexdef(x.indexrelid, n, false)
        || CASE WHEN NOT l.collisdeterministic THEN ' COLLATE ' || l.collname ELSE '' END
        || CASE WHEN o.oprname <> '=' THEN ' USING ' || o.oprname ELSE '' END) AS of_key
    FROM generate_series(1, x.indnkeyatts) n
    LEFT JOIN pg_collation l ON l.oid = x.indcollation[n - 1]
    LEFT JOIN pg_opclass c ON c.oid = x.indclass[n - 1]
    LEFT JOIN pg_amop m ON m.amopfamily = c.opcfamily AND m.amopstrategy = 3
        AND m.amoplefttype = c.opcintype AND m.amoprighttype = c.opcintype
    LEFT JOIN pg_operator o ON o.oid = m.amopopr
) parts
WHERE x.indrelid = ANY (%s::oid[]) AND x.indisunique AND NOT x.indisprimary AND x.indisvalid AND x.indislive
"""
# What a stream names a row by, where that is not the primary key.
IDENTITIES = """
SELECT x.indrelid::int8, string_agg(a.attname, ', ' ORDER BY a.attname)
FROM pg_index x CROSS JOIN unnest(x.indkey[0:x.indnkeyatts - 1]) AS k (number)
JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = k.number
JOIN pg_class c ON c.oid = x.indrelid AND c.relreplident = 'i'
WHERE x.indrelid = ANY (%s::oid[]) AND x.indisreplident GROUP BY x.indrelid
"""
PARTITIONS = """
SELECT c.oid::int8, pg_get_partkeydef(c.oid), pg_get_expr(c.relpartbound, c.oid)
FROM pg_class c WHERE c.oid = ANY (%s::oid[])
"""
# Every type that a column's values are made of, from the column's own inwards.
TYPES = """
WITH RECURSIVE within AS (
    SELECT oid AS root, oid FROM pg_type WHERE oid = ANY (%s::oid[])
    UNION
    SELECT w.root, n.oid FROM within w JOIN pg_type t ON t.oid = w.oid CROSS JOIN LATERAL (
        SELECT t.typelem AS oid WHERE t.typcategory = 'A' UNION ALL SELECT t.typbasetype WHERE t.typtype = 'd'
        UNION ALL SELECT a.atttypid FROM pg_attribute a
            WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
        UNION ALL SELECT r.rngsubtype FROM pg_range r WHERE r.rngtypid = t.oid
        UNION ALL SELECT r.rngtypid FROM pg_range r WHERE r.rngmultitypid = t.oid
    ) n
)
SELECT w.root::int8, t.typtype::text, format_type(t.oid, NULL), t.typnotnull, format_type(t.typbasetype, t.typtypmod),
       t.typdefault, t.typcollation::int8,
       ARRAY(SELECT e.enumlabel::text FROM pg_enum e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder),
       ARRAY(SELECT a.attname || ' ' || format_type(a.atttypid, a.atttypmod) FROM pg_attribute a
             WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
             ORDER BY a.attnum),
       ARRAY(SELECT pg_get_constraintdef(k.oid) FROM pg_constraint k WHERE k.contypid = t.oid AND k.contype = 'c'),
       (SELECT concat_ws(' ', format_type(r.rngsubtype, NULL), nullif(r.rngcanonical::oid, 0)::regproc,
                         CASE WHEN c.opcdefault THEN NULL ELSE c.opcname END)
        FROM pg_range r JOIN pg_opclass c ON c.oid = r.rngsubopc WHERE r.rngtypid = t.oid)
FROM within w JOIN pg_type t ON t.oid = w.oid WHERE t.typtype IN ('e', 'c', 'd', 'r')
"""
# Functions that constraints, defaults, generated columns and unique indexes ask; those of an extension are its own.
FUNCTIONS = """
SELECT DISTINCT u.relation::int8, p.proname::text, pg_get_function_identity_arguments(p.oid),
       regexp_replace(p.prosrc || coalesce(pg_get_function_sqlbody(p.oid), ''), '\\s+', ' ', 'g')
FROM (SELECT k.conrelid AS relation, 'pg_constraint'::regclass AS class, k.oid FROM pg_constraint k
      UNION ALL SELECT d.adrelid, 'pg_attrdef'::regclass, d.oid FROM pg_attrdef d
      UNION ALL SELECT x.indrelid, 'pg_class'::regclass, x.indexrelid FROM pg_index x WHERE x.indisunique
      UNION ALL SELECT a.attrelid, 'pg_constraint'::regclass, k.oid FROM pg_attribute a
          JOIN pg_constraint k ON k.contypid = a.atttypid) u
JOIN pg_depend d ON d.classid = u.class AND d.objid = u.oid AND d.refclassid = 'pg_proc'::regclass
JOIN pg_proc p ON p.oid = d.refobjid AND p.pronamespace <> 'pg_catalog'::regnamespace
WHERE u.relation = ANY (%s::oid[]) AND NOT EXISTS (
    SELECT FROM pg_depend e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid AND e.deptype = 'e')
"""
TRIGGERS = """
SELECT t.tgrelid::int8, t.tgtype::int, p.proname::text, pg_get_expr(t.tgqual, t.tgrelid),
       regexp_replace(p.prosrc, '\\s+', ' ', 'g')
FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
WHERE t.tgrelid = ANY (%s::oid[]) AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A')
  AND NOT starts_with(t.tgname, 'strangler_')
"""
COLLATIONS = """
SELECT l.oid::int8, l.collprovider::text, l.collisdeterministic,
       coalesce(to_jsonb(l) ->> 'colllocale', to_jsonb(l) ->> 'colliculocale', l.collcollate || ' ' || l.collctype),
       coalesce(l.collicurules, '')
FROM pg_collation l WHERE l.collprovider <> 'd' AND l.oid IN (
    SELECT attcollation FROM pg_attribute WHERE attrelid = ANY (%s::oid[])
    UNION ALL SELECT typcollation FROM pg_type WHERE typtype = 'd')
"""
DATABASE = """
SELECT d.datlocprovider::text, true,
       coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale', d.datcollate || ' ' || d.datctype),
       coalesce(d.daticurules, '')
FROM pg_database d WHERE d.datname = current_database()
"""
VERSION = "SELECT pg_database_collation_actual_version(oid) FROM pg_database WHERE datname = current_database()"
DEFAULT_COLLATION = 100
BY_DEFAULT = "the database's, "
NEXT = "the next of a sequence"


@dataclass(slots=True)
class Rules:
    """What one table is held to: ``columns`` by name and kind, ``sentences`` and ``uniques`` as they are told.

    ``functions`` are those that its rules ask, with their sources; ``outward`` are its foreign keys to tables that do
    not move with it, ``effects`` its triggers: the last two are no reason to refuse.
    """

    names: set[str] = field(default_factory=set)
    columns: dict[tuple[str, str], str] = field(default_factory=dict)
    functions: dict[str, str] = field(default_factory=dict)
    sentences: set[str] = field(default_factory=set)
    uniques: set[str] = field(default_factory=set)
    outward: set[str] = field(default_factory=set)
    effects: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Database:
    """One side: the rules of its tables by name, and how the whole database sorts and stores text."""

    tables: dict[str, Rules]
    collation: str
    collation_version: str | None
    encoding: str


def read(connection: Connection, tables: Sequence[Table]) -> Database:
    """The rules of these tables as one database has them."""
    oids = [table.oid for table in tables]
    rules: dict[int, Rules] = {oid: Rules() for oid in oids}
    rows = connection.execute(COLUMNS, (oids,)).fetchall()
    collations = _collations(connection, oids)
    types = _types(connection, sorted({row[2] for row in rows}), collations)
    money = scalar(connection, "SELECT current_setting('lc_monetary')")
    for oid, *column in rows:
        _add_column(rules[oid], column, types, collations, money)
    _add_constraints(connection, oids, rules)
    for oid, identity in connection.execute(IDENTITIES, (oids,)).fetchall():
        rules[oid].sentences.add(f"REPLICA IDENTITY ({identity})")
    for oid, key, bound in connection.execute(PARTITIONS, (oids,)).fetchall():
        rules[oid].sentences |= {f"PARTITION BY {meaning(key)}"} if key else set()
        rules[oid].sentences |= {meaning(bound)} if bound else set()
    for oid, name, arguments, source in connection.execute(FUNCTIONS, (oids,)).fetchall():
        rules[oid].functions[f"{name}({bare(arguments)})"] = source
    for oid, kind, name, condition, source in connection.execute(TRIGGERS, (oids,)).fetchall():
        # The condition and the source belong to what it does, but would be too long to be told.
        told = f"the trigger function {name}" + (f" when {meaning(condition)}" if condition else "")
        rules[oid].effects.add(f"{told}\0{kind} {source}")
    return Database(
        {table.name: rules[table.oid] for table in tables},
        collations[DEFAULT_COLLATION],
        scalar(connection, VERSION),
        scalar(connection, "SELECT current_setting('server_encoding')"),
    )


def _add_column(
    rules: Rules, column: Sequence[Any], types: dict[int, list[str]], collations: dict[int, str], money: str
) -> None:
    name, kind, type_name, identity, generated, expression, collation = column
    rules.names.add(name)
    rules.sentences |= set(types.get(kind, ()))
    if type_name == "money":
        rules.columns[name, "money"] = money
    if collation:
        plain = collation == DEFAULT_COLLATION
        rules.columns[name, "collation"] = f"{BY_DEFAULT if plain else ''}{collations[collation]}"
    value = meaning(expression) if expression else ""
    if generated:
        rules.columns[name, "generated"] = f"{'VIRTUAL' if generated == 'v' else 'STORED'} {value}"
    elif identity == "a":
        rules.columns[name, "default"] = f"always {NEXT}"
    elif identity or value == "nextval ( '' :: regclass )":
        # serial and GENERATED BY DEFAULT accept the same, and give the same.
        rules.columns[name, "default"] = NEXT
    elif value and value.split(" ::")[0] != "NULL":
        rules.columns[name, "default"] = value


def _add_constraints(connection: Connection, oids: list[int], rules: dict[int, Rules]) -> None:
    for oid, definition, outward, reference in connection.execute(CONSTRAINTS, {"oids": oids}).fetchall():
        if definition.endswith(" NOT ENFORCED"):
            continue
        told = meaning(definition.removesuffix(" NOT VALID"))
        if reference:
            # Where they point is read without a schema, as the peer's may be another.
            (rules[oid].outward if outward else rules[oid].sentences).add(told)
        else:
            (rules[oid].uniques if told.startswith("EXCLUDE") else rules[oid].sentences).add(told)
    for oid, where, not_distinct, deferrable, deferred, parts in connection.execute(UNIQUES, (oids,)).fetchall():
        told = f"UNIQUE ({', '.join(sorted(meaning(part) for part in parts))})"
        told += " NULLS NOT DISTINCT" if not_distinct else ""
        told += f" WHERE {meaning(where)}" if where else ""
        told += " DEFERRABLE" if deferrable else ""
        told += " INITIALLY DEFERRED" if deferred else ""
        rules[oid].uniques.add(told)


def _types(connection: Connection, oids: list[int], collations: dict[int, str]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = defaultdict(list)
    for root, *row in connection.execute(TYPES, (oids,)).fetchall():
        kind, name, not_null, base, default, collation, labels, fields, checks, subtype = row
        told = f"type {bare(name)} is "
        if kind == "e":
            told += f"an enum of {', '.join(labels)}"
        elif kind == "c":
            told += f"composed of {', '.join(bare(one) for one in fields)}"
        elif kind == "d":
            words = [bare(base), *sorted(meaning(one.removesuffix(" NOT VALID")) for one in checks)]
            words += ["NOT NULL"] if not_null else []
            words += [f"DEFAULT {meaning(default)}"] if default else []
            words += [f"COLLATE {collations[collation]}"] if collation not in (0, DEFAULT_COLLATION) else []
            told += f"a domain: {' '.join(words)}"
        else:
            told += f"a range of {bare(subtype)}"
        found[root].append(told)
    return found


def _collations(connection: Connection, oids: list[int]) -> dict[int, str]:
    found = {oid: _collation(row) for oid, *row in connection.execute(COLLATIONS, (oids,)).fetchall()}
    return {**found, DEFAULT_COLLATION: _default(connection)}


def _default(connection: Connection) -> str:
    row = connection.execute(DATABASE).fetchone()
    assert row is not None
    return _collation(row)


def _collation(row: Sequence[Any]) -> str:
    provider, deterministic, locale, rules = row
    locale = " ".join(
        dict.fromkeys(part.replace("POSIX", "C").lower().replace("utf-8", "utf8") for part in locale.split())
    )
    name = {"c": "libc", "i": "ICU", "b": "builtin"}.get(provider, provider)
    # Sorted by bytes, whoever does it.
    told = "c" if locale == "c" else f"{name} {locale}"
    return f"{told}{f' {rules}' if rules else ''}{'' if deterministic else ', not deterministic'}"


def sort_alike(one: Connection, other: Connection) -> bool:
    """Whether both databases put text in the same order."""
    here, there = ((_default(each), scalar(each, VERSION)) for each in (one, other))
    return here == there
