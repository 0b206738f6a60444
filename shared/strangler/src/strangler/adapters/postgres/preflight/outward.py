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
from strangler.adapters.postgres.tables.catalog import ForeignKey, Table
from strangler.domain.findings import Finding, Severity
from strangler.domain.project import SERVICE

SAMPLE_ROWS = 100_000
SAMPLE_KEYS = 1_000

# The tables whose rows a subscription brings to this database, with its name.
FED = catalog.with_names("""
SELECT DISTINCT NAME_OF(root, n), s.subname
FROM pg_subscription_rel r
JOIN pg_subscription s ON s.oid = r.srsubid AND s.subenabled
JOIN pg_database d ON d.oid = s.subdbid AND d.datname = current_database()
JOIN pg_class root ON root.oid = coalesce(pg_partition_root(r.srrelid), r.srrelid)
JOIN pg_namespace n ON n.oid = root.relnamespace
""")


def keys(connection: Connection, tables: Sequence[Table]) -> list[ForeignKey]:
    """The foreign keys from these tables to others, without those that the server does not enforce."""
    return [key for key in catalog.references_out_of(connection, tables) if key.enforced]


def foreign_keys(both: Both) -> Iterator[Finding]:
    """Foreign keys in the service's database whose target does not come along, or lacks what the rows point at."""
    companions = both.companions()
    fed: dict[str, str] = dict(both.service.execute(FED).fetchall())
    for key in keys(both.service, both.there):
        lacking = _lacking(both, key)
        place = f"{both.at(SERVICE)}: {key.table}.{', '.join(key.columns)}"
        if isinstance(lacking, str):
            yield Finding(
                "foreign-key-out",
                Severity.WARNING,
                place,
                f"{key.name} points at {key.root}, which does not move with it; its keys could not be compared: "
                f"{lacking}",
                _cures(key, companions),
            )
        elif lacking.some:
            told = f"{lacking.told} there"
            yield Finding(
                "foreign-key-out",
                Severity.ERROR,
                place,
                f"{key.name} points at {key.root}, which does not move with it: {told}. A copy steps over such a "
                "key, so start, verify and switch would go through; then the service's writes of these rows fail at "
                "COMMIT",
                _cures(key, companions, fed.get(key.root)),
            )
        elif key.root not in fed.keys() | companions:
            yield Finding(
                "foreign-key-out",
                Severity.WARNING,
                place,
                f"{key.name} points at {key.root}, which does not move with it: it holds the keys of now, but "
                "nothing brings a row that is made later in the monolith",
                _cures(key, companions),
            )


def _cures(key: ForeignKey, companions: set[str], feeder: str | None = None) -> str:
    if key.root in companions:
        return f"start the capability that has {key.root} first: its stream keeps the rows there"
    if feeder is not None:
        return (
            f"the subscription {feeder} keeps {key.root} there, and has not brought these rows: see in the log of that "
            "server what it stands at, or wait until it has caught up"
        )
    return (
        "either make it a number without a constraint there (db_constraint=False, or a plain field; then migrate the "
        f"service), or keep a copy of {key.root} there by a subscription of your own that runs before the start"
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


def _lacking(both: Both, key: ForeignKey) -> _Lacking | str:
    """What the parent lacks, or why this is not known."""
    table = next((one for one in both.here if one.name == key.table), None)
    try:
        with patience(both.service):
            filled = _filled(both.service, key)
        # A feature that nobody uses has no rows anywhere, and nothing can point at them.
        with patience(both.monolith):
            if not filled and _filled(both.monolith, key) is not False:
                return _Lacking(empty=True)
        if not key.plain or table is None:
            return "the types of the key are not the server's own"
        with patience(both.monolith):
            sampled = _sampled(both.monolith, table, key.columns)
        with patience(both.service):
            missing = _missing(both.service, key, sampled)
    except psycopg.errors.InsufficientPrivilege:
        return f"the role {both.service.info.user} may not read {key.root}"
    except psycopg.errors.QueryCanceled:
        return f"it took more than {PATIENCE_MS / 1000:.0f} s"
    except psycopg.errors.UndefinedColumn:
        return "the monolith has other columns"
    return _Lacking(len(missing), len(sampled), examples=missing)


def _filled(connection: Connection, key: ForeignKey) -> bool | None:
    """Whether the parent has rows; None where there is no such table."""
    if scalar(connection, sql.SQL("SELECT to_regclass({})").format(key.parent_sql)) is None:
        return None
    return bool(scalar(connection, sql.SQL("SELECT EXISTS (SELECT FROM {})").format(sql.SQL(key.parent_sql))))


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


def _missing(connection: Connection, key: ForeignKey, sampled: Sequence[str]) -> list[str]:
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
