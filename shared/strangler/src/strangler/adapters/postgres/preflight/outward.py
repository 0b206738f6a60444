"""Looks from the capability's tables at what they point to: there a row can mean something else, or nothing.

A copy and a stream step over foreign keys. So a key to rows that do not come along is seen by nobody until the
service's application writes its first row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import psycopg
from psycopg import sql

from strangler.adapters.postgres.preflight.both import NAMED, PATIENCE_MS, Both, patience
from strangler.adapters.postgres.session.connection import Connection, scalar
from strangler.adapters.postgres.tables import catalog
from strangler.adapters.postgres.tables.catalog import Table
from strangler.domain.findings import Finding, Severity
from strangler.domain.project import SERVICE

SAMPLE_ROWS = 100_000
SAMPLE_KEYS = 1_000

# Foreign keys out of these tables. A constraint that is not enforced decides nothing; the columns of a key of several
# columns come in the order of the key.
OUT = catalog.with_names("""
SELECT k.conname, NAME_OF(child, cn), NAME_OF(root, rn), k.confrelid::regclass::text, key.columns,
       key.parent_columns, key.plain,
       EXISTS (SELECT FROM pg_subscription_rel r JOIN pg_subscription s ON s.oid = r.srsubid AND s.subenabled
               JOIN pg_database d ON d.oid = s.subdbid AND d.datname = current_database()
               WHERE r.srrelid IN (SELECT relid FROM pg_partition_tree(root.oid) UNION ALL SELECT root.oid))
FROM pg_constraint k
JOIN pg_class child ON child.oid = k.conrelid JOIN pg_namespace cn ON cn.oid = child.relnamespace
JOIN pg_class parent ON parent.oid = k.confrelid
JOIN pg_class root ON root.oid = coalesce(pg_partition_root(parent.oid), parent.oid)
JOIN pg_namespace rn ON rn.oid = root.relnamespace
CROSS JOIN LATERAL (
    SELECT array_agg(ca.attname::text ORDER BY pair.position) AS columns,
           array_agg(pa.attname::text ORDER BY pair.position) AS parent_columns,
           bool_and(t.typtype = 'b' AND t.typnamespace = 'pg_catalog'::regnamespace) AS plain
    FROM unnest(k.conkey, k.confkey) WITH ORDINALITY pair (child, parent, position)
    JOIN pg_attribute ca ON ca.attrelid = k.conrelid AND ca.attnum = pair.child
    JOIN pg_attribute pa ON pa.attrelid = k.confrelid AND pa.attnum = pair.parent
    JOIN pg_type t ON t.oid = pa.atttypid
) key
WHERE k.contype = 'f' AND k.conparentid = 0 AND k.conrelid = ANY (%(tables)s::oid[])
  AND NOT coalesce(pg_partition_root(k.confrelid), k.confrelid) = ANY (%(tables)s::oid[])
  AND coalesce((to_jsonb(k) ->> 'conenforced')::boolean, true)
ORDER BY 2, 5
""")


@dataclass(frozen=True, slots=True)
class Key:
    """A foreign key from ``columns`` of the moved table ``table`` to ``parent_columns`` of ``parent``, which does not
    move with it.

    ``fed``: a subscription brings the parent's rows to this database. ``plain``: its values are of the server's own
    types, so reading them runs nobody's code.
    """

    name: str
    table: str
    parent: str
    parent_sql: str
    columns: tuple[str, ...]
    parent_columns: tuple[str, ...]
    plain: bool
    fed: bool

    @property
    def place(self) -> str:
        return f"{self.table}.{', '.join(self.columns)}"


def keys(connection: Connection, tables: Sequence[Table]) -> list[Key]:
    """The foreign keys from these tables to others."""
    rows = connection.execute(OUT, {"tables": [table.oid for table in tables]}).fetchall()
    return [
        Key(name, table, parent, spelled, tuple(columns), tuple(parent_columns), plain, fed)
        for name, table, parent, spelled, columns, parent_columns, plain, fed in rows
    ]


def foreign_keys(both: Both) -> Iterator[Finding]:
    """Foreign keys in the service's database whose target does not come along, or lacks what the rows point at."""
    companions = both.companions()
    for key in keys(both.service, both.there):
        lacking = _lacking(both, key)
        place = f"{both.at(SERVICE)}: {key.place}"
        if isinstance(lacking, str):
            yield Finding(
                "foreign-key-out",
                Severity.WARNING,
                place,
                f"{key.name} points at {key.parent}, which does not move with it; its keys could not be compared: "
                f"{lacking}",
                _cures(key, companions),
            )
        elif lacking.some:
            told = f"{lacking.told} there"
            yield Finding(
                "foreign-key-out",
                Severity.ERROR,
                place,
                f"{key.name} points at {key.parent}, which does not move with it: {told}. A copy steps over such a "
                "key, so start, verify and switch would go through; then the service's writes of these rows fail at "
                "COMMIT",
                _cures(key, companions),
            )
        elif not (key.fed or key.parent in companions):
            yield Finding(
                "foreign-key-out",
                Severity.WARNING,
                place,
                f"{key.name} points at {key.parent}, which does not move with it: it holds the keys of now, but "
                "nothing brings a row that is made later in the monolith",
                _cures(key, companions),
            )


def _cures(key: Key, companions: set[str]) -> str:
    if key.parent in companions:
        return f"start the capability that has {key.parent} first: its stream keeps the rows there"
    return (
        "either make it a number without a constraint there (db_constraint=False, or a plain field; then migrate the "
        f"service), or keep a copy of {key.parent} there by a subscription of your own that runs before the start"
    )


@dataclass(frozen=True, slots=True)
class _Lacking:
    """How many of the sampled keys of the monolith's rows the parent in the service lacks."""

    missing: int = 0
    sampled: int = 0
    empty: bool = False
    examples: Sequence[str] = field(default_factory=tuple)

    @property
    def some(self) -> bool:
        return bool(self.missing) or self.empty

    @property
    def told(self) -> str:
        if self.empty:
            return "it has no rows"
        named = ", ".join(self.examples[:NAMED])
        return (
            f"{self.missing} of {self.sampled} keys that were tried are not ({named}{', …' * (self.missing > NAMED)})"
        )


def _lacking(both: Both, key: Key) -> _Lacking | str:
    """What the parent lacks, or why this is not known."""
    table = next((one for one in both.here if one.name == key.table), None)
    try:
        with patience(both.service):
            if not scalar(both.service, sql.SQL("SELECT EXISTS (SELECT FROM {})").format(sql.SQL(key.parent_sql))):
                return _Lacking(empty=True)
        if not key.plain or table is None:
            return "the types of the key are not the server's own"
        with patience(both.monolith):
            sampled = _sampled(both.monolith, table, key.columns)
        with patience(both.service):
            missing = _missing(both.service, key, sampled)
    except psycopg.errors.InsufficientPrivilege:
        return f"the role {both.service.info.user} may not read {key.parent}"
    except psycopg.errors.QueryCanceled:
        return f"it took more than {PATIENCE_MS / 1000:.0f} s"
    except psycopg.errors.UndefinedColumn:
        return "the monolith has other columns"
    return _Lacking(len(missing), len(sampled), examples=missing)


def _sampled(connection: Connection, table: Table, columns: Sequence[str]) -> list[str]:
    """Different keys among some rows of the table, each in the form of `_spelled`."""
    names = [sql.Identifier(column) for column in columns]
    query = sql.SQL(
        "SELECT DISTINCT {spelled} FROM (SELECT {columns} FROM {table} WHERE {filled} LIMIT {rows}) AS taken "
        "LIMIT {keys}"
    ).format(
        spelled=_spelled(names),
        columns=sql.SQL(", ").join(names),
        table=table.sql(),
        filled=sql.SQL(" AND ").join(sql.SQL("{} IS NOT NULL").format(name) for name in names),
        rows=SAMPLE_ROWS,
        keys=SAMPLE_KEYS,
    )
    return [row[0] for row in connection.execute(query).fetchall()]


def _missing(connection: Connection, key: Key, sampled: Sequence[str]) -> list[str]:
    query = sql.SQL(
        "SELECT wanted.key FROM unnest({sampled}::text[]) AS wanted (key) "
        "WHERE NOT EXISTS (SELECT FROM {parent} parent WHERE {spelled} = wanted.key) ORDER BY 1"
    ).format(
        sampled=sql.Literal(list(sampled)),
        parent=sql.SQL(key.parent_sql),
        spelled=_spelled([sql.Identifier("parent", column) for column in key.parent_columns]),
    )
    return [row[0] for row in connection.execute(query).fetchall()]


def _spelled(names: Sequence[sql.Composable]) -> sql.Composed:
    """The values by their types' output functions, which are the server's own."""
    return sql.SQL("concat_ws(', ', {})").format(
        sql.SQL(", ").join(sql.SQL("format('%s', {})").format(name) for name in names)
    )
