"""Things around the moved tables that would be left behind, run twice, or stop working."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, LiteralString

from psycopg import sql

from strangler.adapters.postgres.session.connection import Connection, describe, scalar
from strangler.adapters.postgres.tables import acting, composition
from strangler.adapters.postgres.tables.catalog import Table
from strangler.adapters.postgres.tables.composition import DOMAIN
from strangler.domain.errors import PreflightError, StranglerError
from strangler.domain.findings import Finding, Severity

PREPARED_SECONDS = 5.0

# Each query yields the table's oid, and what an error names.
INHERITING = """
SELECT h.inhparent::int8, c.relname::text FROM pg_inherits h JOIN pg_class c ON c.oid = h.inhrelid
WHERE h.inhparent = ANY (%(oids)s::oid[]) AND NOT c.relispartition AND c.relkind IN ('r', 'f', 'p')
UNION ALL
SELECT h.inhrelid::int8, p.relname::text FROM pg_inherits h JOIN pg_class c ON c.oid = h.inhrelid
JOIN pg_class p ON p.oid = h.inhparent
WHERE h.inhrelid = ANY (%(oids)s::oid[]) AND NOT c.relispartition AND NOT h.inhparent = ANY (%(oids)s::oid[])
"""
RULES = """
SELECT ev_class::int8, rulename::text FROM pg_rewrite
WHERE ev_class = ANY (%(oids)s::oid[]) AND rulename <> '_RETURN' AND ev_enabled <> 'D'
"""
ALWAYS = """
SELECT tgrelid::int8, tgname::text FROM pg_trigger
WHERE tgrelid = ANY (%(oids)s::oid[]) AND NOT tgisinternal AND tgenabled IN ('A', 'R')
  AND NOT starts_with(tgname, 'strangler_')
"""
FEEDING = """
SELECT r.srrelid::int8, s.subname::text FROM pg_subscription_rel r JOIN pg_subscription s ON s.oid = r.srsubid
JOIN pg_database d ON d.oid = s.subdbid AND d.datname = current_database()
WHERE r.srrelid = ANY (%(oids)s::oid[]) AND NOT s.subname = ANY (%(ours)s)
"""
LO_TRIGGERS = """
SELECT t.tgrelid::int8, t.tgname::text FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid AND p.proname = 'lo_manage'
WHERE t.tgrelid = ANY (%(oids)s::oid[]) AND NOT t.tgisinternal
"""
LO_KEPT = (
    "{table} keeps large objects ({name}): no copy and no stream carries them",
    "keep them in a column of type bytea first, or leave the table where it is",
    "large-objects",
)
NAMED_OBJECTS = (
    "EXISTS (SELECT FROM ({}) AS named (value) "
    "WHERE named.value IN (SELECT oid FROM pg_catalog.pg_largeobject_metadata))"
)
PUBLISHED = """
SELECT c.oid::int8, p.pubname::text FROM pg_publication_tables p
JOIN pg_namespace n ON n.nspname = p.schemaname JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename
WHERE c.oid = ANY (%(oids)s::oid[]) AND NOT p.pubname = ANY (%(ours)s)
"""
UNPROVED = """
SELECT k.conrelid::int8, k.conname::text, k.contype::text, pg_get_expr(k.conbin, k.conrelid), a.attname::text
FROM pg_constraint k LEFT JOIN pg_attribute a ON k.contype = 'n' AND a.attrelid = k.conrelid AND a.attnum = k.conkey[1]
WHERE k.conrelid = ANY (%(oids)s::oid[]) AND k.contype IN ('c', 'n') AND NOT k.convalidated
  AND coalesce((to_jsonb(k) ->> 'conenforced')::boolean, true)
"""
PREPARED = """
SELECT gid, database::text, owner::text, extract(epoch FROM clock_timestamp() - prepared)::float8
FROM pg_prepared_xacts ORDER BY prepared
"""
EVENT_TRIGGERS = "SELECT evtname::text, evtevent::text FROM pg_event_trigger WHERE evtenabled <> 'D'"


@dataclass(frozen=True, slots=True)
class Obstacle:
    """A query for something at a table, and the sentence about it."""

    query: LiteralString
    message: str
    remedy: str
    id: str


OBSTACLES = (
    Obstacle(
        INHERITING,
        "{table} inherits from or is inherited by {name}: rows would be left behind, or be there twice",
        "make it a partition, or ALTER TABLE … NO INHERIT; only partitions move with their table",
        "inheritance",
    ),
    Obstacle(
        RULES,
        "{table} has the rule {name}: a copy and a stream step over rules, and a repair cannot",
        "DROP RULE, or make it a trigger, on both sides",
        "rule",
    ),
    Obstacle(
        ALWAYS,
        "the trigger {name} of {table} is enabled ALWAYS or REPLICA: it would run on both sides, twice for every write",
        "ALTER TABLE {qualified} ENABLE TRIGGER for it: what it does reaches the other side by the stream",
        "trigger-always",
    ),
    Obstacle(
        FEEDING,
        "{table} is fed by the subscription {name}: it would stop, as an owner refuses what streams bring",
        "end that subscription, or leave the table where it is",
        "fed-by-a-subscription",
    ),
    Obstacle(LO_TRIGGERS, *LO_KEPT),
)


def fit(connection: Connection, tables: Sequence[Table], *, ours: Sequence[str]) -> Iterator[StranglerError | Finding]:
    """What would break, and what is worth knowing; ``ours`` are the names of this move's streams."""
    place = describe(connection.info.dsn)
    for message, remedy, identifier in obstacles(connection, tables, ours=ours):
        yield PreflightError(message, place=place, remedy=remedy, id=identifier)
    by_oid = {table.oid: table for table in tables}
    values: dict[str, Any] = {"oids": list(by_oid), "ours": list(ours)}
    for oid, name in connection.execute(PUBLISHED, values).fetchall():
        yield Finding(
            "published-elsewhere",
            Severity.WARNING,
            place,
            f"{by_oid[oid].name} is published by {name}: once the move is completed, nothing of it comes that way",
            "let its subscribers read the service's database before the move is completed",
        )
    for name, event in connection.execute(EVENT_TRIGGERS).fetchall():
        yield Finding(
            "event-trigger",
            Severity.WARNING,
            place,
            f"the event trigger {name} ({event}) also runs for what start, switch and cancel change",
            "see that it lets triggers, publications and the schema strangler be made and dropped",
        )


def obstacles(connection: Connection, tables: Sequence[Table], *, ours: Sequence[str]) -> list[tuple[str, str, str]]:
    """Everything that makes a move impossible, each with its remedy and identifier; ``ours`` are the names of this
    move's streams."""
    by_oid = {table.oid: table for table in tables}
    values: dict[str, Any] = {"oids": list(by_oid), "ours": list(ours)}
    found = [
        (obstacle.message, obstacle.remedy, obstacle.id, by_oid[oid], name)
        for obstacle in OBSTACLES
        for oid, name in connection.execute(obstacle.query, values).fetchall()
    ]
    _, kept = composition.columns_of(connection, list(by_oid), lambda one: one.name == "lo" and one.kind == DOMAIN)
    found += [(*LO_KEPT, by_oid[oid], name) for oid, name, _ in kept]
    return [
        (message.format(table=table.name, name=name), remedy.format(qualified=table.qualified), identifier)
        for message, remedy, identifier, table, name in found
    ]


def rows_fit(connection: Connection, tables: Sequence[Table]) -> Iterator[StranglerError | Finding]:
    """Rows of the owner that no copy can take: table and column or constraint."""
    place = describe(connection.info.dsn)
    by_oid = {table.oid: table for table in tables if not table.partitioned}
    values = {"oids": list(by_oid)}
    for oid, name, kind, expression, column in connection.execute(UNPROVED, values).fetchall():
        broken = sql.SQL("NOT ({})").format(sql.SQL(expression)) if kind == "c" else _is_null(column)
        if _any(connection, by_oid[oid], broken):
            yield PreflightError(
                f"rows of {by_oid[oid].name} do not keep its own constraint {name}, which was never validated",
                place=place,
                remedy="mend those rows: the copy would refuse them",
                id="constraint-not-kept",
            )
    count = scalar(connection, "SELECT count(*) FROM pg_largeobject_metadata")
    if not count:
        return
    types, columns = composition.columns_of(connection, list(by_oid), lambda one: one.sql == "oid")
    for oid, column, kind in columns:
        objects = [sql.SQL(NAMED_OBJECTS).format(query) for query in types.values(kind, sql.Identifier(column), "oid")]
        if objects and _any(connection, by_oid[oid], sql.SQL(" OR ").join(objects)):
            yield PreflightError(
                f"{by_oid[oid].name}.{column} names large objects: no copy and no stream carries them",
                place=place,
                remedy="keep them in a column of type bytea first, or leave the table where it is",
                id="large-objects",
            )
    yield Finding(
        "large-objects-stay",
        Severity.NOTE,
        place,
        f"the monolith's database has {count:,} large objects: they stay",
        "nothing is to be done if no moved row names them in a column of another type",
    )


def _is_null(column: str) -> sql.Composed:
    return sql.SQL("{} IS NULL").format(sql.Identifier(column))


def _any(connection: Connection, table: Table, where: sql.Composed) -> bool:
    query = sql.SQL("SELECT EXISTS (SELECT FROM ONLY {} WHERE {})::pg_catalog.text").format(table.sql(), where)
    return bool(acting.act(connection, table, query, asks=True) == "true")


def no_prepared(connection: Connection) -> Iterator[StranglerError]:
    """A slot waits for every transaction of its server, and a prepared transaction ends only when somebody ends it."""
    deadline = time.monotonic() + PREPARED_SECONDS
    known: set[str] | None = None
    while True:
        rows = connection.execute(PREPARED).fetchall()
        known = {row[0] for row in rows} if known is None else known & {row[0] for row in rows}
        if not known:
            return
        if time.monotonic() >= deadline:
            gid, database, owner, seconds = next(row for row in rows if row[0] in known)
            yield PreflightError(
                f"the transaction {gid!r} of {owner} in the database {database} has been prepared for {seconds:.0f} s: "
                "no slot can be made while it is open",
                place=describe(connection.info.dsn),
                remedy=f"COMMIT PREPARED or ROLLBACK PREPARED '{gid}' there",
                id="prepared-transaction",
            )
            return
        time.sleep(0.1)
