"""Everything that decides what a table accepts or returns, in a form by which two databases can be compared."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from strangler.adapters.postgres.session.connection import Connection, scalar, setting
from strangler.adapters.postgres.tables import asking
from strangler.adapters.postgres.tables.asking import Asked
from strangler.adapters.postgres.tables.catalog import Table
from strangler.adapters.postgres.tables.composition import Types
from strangler.adapters.postgres.tables.expressions import bare, meaning

COLUMNS = """
SELECT a.attrelid::int8, quote_ident(a.attname), a.attname, a.atttypid::int8, a.attidentity::text,
       a.attgenerated::text, pg_get_expr(d.adbin, d.adrelid), a.attcollation::int8
FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = ANY (%s::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
"""
# A constraint that is not enforced decides nothing; an index that is not valid may have let duplicates pass.
CONSTRAINTS = """
SELECT k.conrelid::int8, pg_get_constraintdef(k.oid),
       k.contype = 'f' AND NOT k.confrelid = ANY (%(oids)s::oid[]), k.contype = 'f'
FROM pg_constraint k
WHERE k.conrelid = ANY (%(oids)s::oid[]) AND (k.contype IN ('c', 'x') OR k.contype = 'f' AND k.conparentid = 0)
"""
# The equality of values in a key is named only if it is not the default of their type.
UNIQUES = """
SELECT x.indrelid::int8, pg_get_expr(x.indpred, x.indrelid), x.indnullsnotdistinct, coalesce(k.condeferrable, false),
       coalesce(k.condeferred, false), CASE WHEN x.indisexclusion THEN pg_get_constraintdef(k.oid) END,
       parts.keys, parts.collations, parts.equal
FROM pg_index x LEFT JOIN pg_constraint k ON k.conindid = x.indexrelid AND k.contype IN ('u', 'p')
CROSS JOIN LATERAL (
    SELECT array_agg(pg_get_indexdef(x.indexrelid, n, false) ORDER BY n) AS keys,
           array_agg(CASE WHEN l.collisdeterministic THEN NULL ELSE l.oid END::int8 ORDER BY n) AS collations,
           array_agg(CASE WHEN u.opcfamily IS NULL THEN CASE WHEN NOT c.opcdefault THEN p.proname END
                          WHEN NOT EXISTS (SELECT FROM pg_amop v WHERE v.amopfamily = u.opcfamily AND v.amopopr = o.oid)
                          THEN p.proname END::text ORDER BY n) AS equal
    FROM generate_series(1, x.indnkeyatts) n
    JOIN pg_attribute a ON a.attrelid = x.indexrelid AND a.attnum = n
    LEFT JOIN pg_collation l ON l.oid = x.indcollation[n - 1]
    LEFT JOIN pg_opclass c ON c.oid = x.indclass[n - 1]
    LEFT JOIN pg_amop m ON m.amopfamily = c.opcfamily AND m.amopstrategy = 3
        AND m.amoplefttype = c.opcintype AND m.amoprighttype = c.opcintype
    LEFT JOIN pg_operator o ON o.oid = m.amopopr LEFT JOIN pg_proc p ON p.oid = o.oprcode
    LEFT JOIN LATERAL (
        WITH RECURSIVE b (oid, base) AS (
            SELECT t.oid, t.typbasetype FROM pg_type t WHERE t.oid = a.atttypid
            UNION ALL SELECT t.oid, t.typbasetype FROM pg_type t JOIN b ON t.oid = b.base
        )
        SELECT u.opcfamily FROM b JOIN pg_opclass u ON u.opcmethod = c.opcmethod AND u.opcdefault
            AND u.opcintype = CASE b.oid WHEN 'varchar'::regtype THEN 'text'::regtype ELSE b.oid END
        WHERE b.base = 0
    ) u ON true
) parts
WHERE x.indrelid = ANY (%s::oid[]) AND x.indisunique AND x.indisvalid AND x.indislive
  AND (x.indisexclusion OR NOT x.indisprimary)
"""
# The roles of a policy appear only as all or some, for each server has roles of its own.
POLICIES = """
SELECT c.oid::int8, c.relforcerowsecurity, p.polcmd::text, p.polpermissive, 0 = ANY (p.polroles),
       pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)
FROM pg_class c LEFT JOIN pg_policy p ON p.polrelid = c.oid WHERE c.oid = ANY (%s::oid[]) AND c.relrowsecurity
"""
COMMANDS = {"*": "ALL", "r": "SELECT", "a": "INSERT", "w": "UPDATE", "d": "DELETE"}
# The columns by which a stream identifies a row, if these are not the primary key.
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
TYPES = """
SELECT t.oid::int8, t.typtype::text, format_type(t.oid, NULL), t.typnotnull, format_type(t.typbasetype, t.typtypmod),
       t.typdefault, coalesce(r.rngcollation, t.typcollation)::int8,
       ARRAY(SELECT e.enumlabel::text FROM pg_enum e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder),
       f.fields, f.collations,
       ARRAY(SELECT pg_get_constraintdef(k.oid) FROM pg_constraint k WHERE k.contypid = t.oid AND k.contype = 'c'),
       concat_ws(' ', format_type(r.rngsubtype, NULL), nullif(r.rngcanonical::oid, 0)::regproc,
                 CASE WHEN c.opcdefault THEN NULL ELSE c.opcname END)
FROM pg_type t LEFT JOIN pg_range r ON r.rngtypid = t.oid LEFT JOIN pg_opclass c ON c.oid = r.rngsubopc
CROSS JOIN LATERAL (
    SELECT array_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod) ORDER BY a.attnum) AS fields,
           array_agg(a.attcollation::int8 ORDER BY a.attnum) AS collations
    FROM pg_attribute a WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
) f
WHERE t.oid = ANY (%s::oid[]) AND t.typtype IN ('e', 'c', 'd', 'r')
"""
TRIGGERS = """
SELECT t.tgrelid::int8, t.tgtype::int, p.proname::text, pg_get_expr(t.tgqual, t.tgrelid),
       encode(t.tgargs, 'escape') || regexp_replace(p.prosrc, '\\s+', ' ', 'g')
FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
WHERE t.tgrelid = ANY (%s::oid[]) AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A')
  AND NOT starts_with(t.tgname, 'strangler_')
"""
COLLATIONS = """
SELECT l.oid::int8, l.collprovider::text, l.collisdeterministic,
       coalesce(to_jsonb(l) ->> 'colllocale', to_jsonb(l) ->> 'colliculocale', l.collcollate || ' ' || l.collctype),
       coalesce(l.collicurules, '')
FROM pg_collation l WHERE l.collprovider <> 'd' AND (l.oid >= 16384 OR l.oid IN (
    SELECT attcollation FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    WHERE c.oid = ANY (%s::oid[]) OR c.relkind = 'c'
    UNION ALL SELECT typcollation FROM pg_type WHERE typtype = 'd' UNION ALL SELECT rngcollation FROM pg_range))
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
MONEY = "money of lc_monetary"
NEXT = "the next of a sequence"


@dataclass(slots=True)
class Rules:
    """The rules of one table: ``columns`` by name and kind, ``sentences`` and ``uniques`` as messages show them.

    ``asked`` are the functions and collations that its rules use; ``outward`` are its foreign keys to tables that do
    not move with it, ``effects`` its triggers: differences in the last two are no reason to refuse.
    """

    names: set[str] = field(default_factory=set)
    columns: dict[tuple[str, str], str] = field(default_factory=dict)
    asked: dict[str, Asked] = field(default_factory=dict)
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
    # Compiling such queries takes longer than running them.
    with setting(connection, "jit", "off"):
        return _read(connection, tables)


def _read(connection: Connection, tables: Sequence[Table]) -> Database:
    oids = [table.oid for table in tables]
    rules: dict[int, Rules] = {oid: Rules() for oid in oids}
    rows = connection.execute(COLUMNS, (oids,)).fetchall()
    collations = _collations(connection, oids)
    types = Types(connection, {row[3] for row in rows})
    told = _told(connection, types, collations)
    # A stream carries money in the format of the sender's database, and the receiver reads it in its own.
    money = scalar(connection, "SELECT reset_val FROM pg_settings WHERE name = 'lc_monetary'")
    # The columns of each table that are not strings: there a cast to a string matters.
    apart: dict[int, set[str]] = {oid: set() for oid in oids}
    for oid, quoted, _, kind, *_ in rows:
        apart[oid] |= set() if types.plain_text(kind) else {quoted}
    for oid, _, name, kind, *rest in rows:
        within = types.within(kind)
        rules[oid].names.add(name)
        rules[oid].sentences |= {told[one.oid] for one in within if one.oid in told}
        if any(one.sql == "money" for one in within):
            rules[oid].columns[name, MONEY] = money
        _add_column(rules[oid], name, rest, collations, apart[oid])
    _add_constraints(connection, oids, rules, apart)
    _add_uniques(connection, oids, rules, apart, collations)
    _add_policies(connection, oids, rules, apart)
    for oid, identity in connection.execute(IDENTITIES, (oids,)).fetchall():
        rules[oid].sentences.add(f"REPLICA IDENTITY ({identity})")
    for oid, key, bound in connection.execute(PARTITIONS, (oids,)).fetchall():
        rules[oid].sentences |= {f"PARTITION BY {meaning(key, apart[oid])}"} if key else set()
        rules[oid].sentences |= {meaning(bound)} if bound else set()
    for oid, asked in asking.read(connection, oids, collations).items():
        rules[oid].asked = asked
    for oid, kind, name, condition, source in connection.execute(TRIGGERS, (oids,)).fetchall():
        # The condition and the source are part of what it does, but too long for a message.
        what = f"the trigger function {name}" + (f" when {meaning(condition)}" if condition else "")
        rules[oid].effects.add(f"{what}\0{kind} {source}")
    return Database(
        {table.name: rules[table.oid] for table in tables},
        collations[DEFAULT_COLLATION],
        scalar(connection, VERSION),
        scalar(connection, "SELECT current_setting('server_encoding')"),
    )


def _add_column(
    rules: Rules, name: str, described: Sequence[Any], collations: dict[int, str], apart: Collection[str]
) -> None:
    identity, generated, expression, collation = described
    if collation:
        plain = collation == DEFAULT_COLLATION
        rules.columns[name, "collation"] = f"{BY_DEFAULT if plain else ''}{collations[collation]}"
    value = meaning(expression, apart) if expression else ""
    if generated:
        rules.columns[name, "generated"] = f"{'VIRTUAL' if generated == 'v' else 'STORED'} {value}"
    elif identity == "a":
        rules.columns[name, "default"] = f"always {NEXT}"
    elif identity or value == "nextval ( '' :: regclass )":
        # serial and GENERATED BY DEFAULT accept the same, and give the same.
        rules.columns[name, "default"] = NEXT
    elif value and value.split(" ::")[0] != "NULL":
        rules.columns[name, "default"] = value


def _add_constraints(
    connection: Connection, oids: list[int], rules: dict[int, Rules], apart: Mapping[int, Collection[str]]
) -> None:
    for oid, definition, outward, reference in connection.execute(CONSTRAINTS, {"oids": oids}).fetchall():
        if definition.endswith(" NOT ENFORCED"):
            continue
        told = meaning(definition.removesuffix(" NOT VALID"), apart[oid])
        if reference:
            # The table to which they point is named without its schema, as the peer's schema may be another.
            (rules[oid].outward if outward else rules[oid].sentences).add(told)
        else:
            (rules[oid].uniques if told.startswith("EXCLUDE") else rules[oid].sentences).add(told)


def _add_uniques(
    connection: Connection,
    oids: list[int],
    rules: dict[int, Rules],
    apart: Mapping[int, Collection[str]],
    collations: Mapping[int, str],
) -> None:
    for oid, where, not_distinct, deferrable, deferred, definition, *parts in connection.execute(
        UNIQUES, (oids,)
    ).fetchall():
        if definition:  # WITHOUT OVERLAPS
            rules[oid].uniques.add(meaning(definition))
            continue
        keys = [
            meaning(key, apart[oid])
            + (f" COLLATE {collations[collation]}" if collation else "")
            + (f" USING {equal}" if equal else "")
            for key, collation, equal in zip(*parts, strict=True)
        ]
        told = f"UNIQUE ({', '.join(sorted(keys))})"
        told += " NULLS NOT DISTINCT" if not_distinct else ""
        told += f" WHERE {meaning(where, apart[oid])}" if where else ""
        told += " DEFERRABLE" if deferrable else ""
        told += " INITIALLY DEFERRED" if deferred else ""
        rules[oid].uniques.add(told)


def _add_policies(
    connection: Connection, oids: list[int], rules: dict[int, Rules], apart: Mapping[int, Collection[str]]
) -> None:
    for oid, forced, command, permissive, everybody, using, check in connection.execute(POLICIES, (oids,)).fetchall():
        rules[oid].sentences.add(f"ROW LEVEL SECURITY{', FORCED' if forced else ''}")
        if command:
            told = f"{'PERMISSIVE' if permissive else 'RESTRICTIVE'} POLICY FOR {COMMANDS[command]}"
            told += " TO PUBLIC" if everybody else " TO some roles"
            told += f" USING {meaning(using, apart[oid])}" if using else ""
            told += f" WITH CHECK {meaning(check, apart[oid])}" if check else ""
            rules[oid].sentences.add(told)


def _told(connection: Connection, types: Types, collations: dict[int, str]) -> dict[int, str]:
    """The definition of each type that decides something."""
    found: dict[int, str] = {}
    for oid, *row in connection.execute(TYPES, (list(types.by_oid),)).fetchall():
        kind, name, not_null, base, default, collation, labels, fields, collated, checks, subtype = row
        told = f"type {bare(name)} is "
        sorts = f" COLLATE {collations[collation]}" if collation not in (0, DEFAULT_COLLATION) else ""
        if kind == "e":
            told += f"an enum of {', '.join(labels)}"
        elif kind == "c":
            told += "composed of " + ", ".join(
                bare(one) + (f" COLLATE {collations[by]}" if by not in (0, DEFAULT_COLLATION) else "")
                for one, by in zip(fields or (), collated or (), strict=True)
            )
        elif kind == "d":
            apart = () if types.plain_text(oid) else ("VALUE",)
            words = [bare(base), *sorted(meaning(one.removesuffix(" NOT VALID"), apart) for one in checks)]
            words += ["NOT NULL"] if not_null else []
            words += [f"DEFAULT {meaning(default)}"] if default else []
            told += f"a domain: {' '.join(words)}{sorts}"
        else:
            told += f"a range of {bare(subtype)}{sorts}"
        found[oid] = told
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
    # Bytes sort in the same way on every server.
    told = "c" if locale == "c" else f"{name} {locale}"
    return f"{told}{f' {rules}' if rules else ''}{'' if deterministic else ', not deterministic'}"


def sort_alike(one: Connection, other: Connection) -> bool:
    """Whether both databases put text in the same order."""
    here, there = ((_default(each), scalar(each, VERSION)) for each in (one, other))
    return here == there
