"""What stands around the tables on one side and not on the other, so that a write means something else there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import psycopg
from psycopg.conninfo import make_conninfo

from strangler.adapters.postgres.preflight.both import Both
from strangler.adapters.postgres.session.connection import Connection
from strangler.adapters.postgres.tables import catalog
from strangler.adapters.postgres.tables.catalog import Table
from strangler.adapters.postgres.tables.expressions import meaning
from strangler.domain.findings import Finding, Severity
from strangler.domain.project import MONOLITH, SERVICE

TRIGGERS = catalog.with_names("""
SELECT t.tgname::text, NAME_OF(c, n), p.proname::text, p.prosrc
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_language l ON l.oid = p.prolang AND l.lanname NOT IN ('c', 'internal')
WHERE t.tgrelid = ANY (%s::oid[]) AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A')
  AND NOT starts_with(t.tgname, 'strangler_') AND t.tgparentid = 0
ORDER BY 2, 1
""")
# An extension is needed if the tables, their columns, defaults, constraints or indexes depend on something of it.
EXTENSIONS = """
WITH parts (class, object) AS (
    SELECT 'pg_class'::regclass, one FROM unnest(%(tables)s::oid[]) one
    UNION ALL SELECT 'pg_class'::regclass, indexrelid FROM pg_index WHERE indrelid = ANY (%(tables)s::oid[])
    UNION ALL SELECT 'pg_constraint'::regclass, oid FROM pg_constraint WHERE conrelid = ANY (%(tables)s::oid[])
    UNION ALL SELECT 'pg_attrdef'::regclass, oid FROM pg_attrdef WHERE adrelid = ANY (%(tables)s::oid[])
    UNION ALL SELECT 'pg_trigger'::regclass, oid FROM pg_trigger WHERE tgrelid = ANY (%(tables)s::oid[])
)
SELECT e.extname::text, e.extversion, EXISTS (
    SELECT FROM parts JOIN pg_depend uses ON uses.classid = parts.class AND uses.objid = parts.object
    JOIN pg_depend owned ON owned.classid = uses.refclassid AND owned.objid = uses.refobjid AND owned.deptype = 'e'
        AND owned.refclassid = 'pg_extension'::regclass AND owned.refobjid = e.oid)
FROM pg_extension e WHERE e.extname <> 'plpgsql'
"""
INDEXES = """
SELECT x.indrelid::int8, pg_get_indexdef(x.indexrelid), c.relname::text
FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid
WHERE x.indrelid = ANY (%s::oid[]) AND NOT x.indisunique AND x.indisvalid AND x.indislive
"""
# What applications get if they set nothing themselves: what is set for the role that owns the tables in this database,
# for the role, for the database, by the server.
SETTINGS = """
SELECT wanted.name, coalesce(
    (SELECT substr(one, length(wanted.name) + 2) FROM pg_db_role_setting s, unnest(s.setconfig) one
     WHERE starts_with(lower(one), wanted.name || '=')
       AND s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
       AND s.setrole IN (0, (SELECT relowner FROM pg_class WHERE oid = %(table)s))
     ORDER BY (s.setrole <> 0)::int * 2 + (s.setdatabase <> 0)::int DESC LIMIT 1),
    (SELECT f.reset_val FROM pg_settings f WHERE f.name = wanted.name))
FROM unnest(%(names)s::text[]) wanted (name)
"""
# Each of these decides what a statement means, or whether it is refused.
DECIDING = (
    "timezone",
    "datestyle",
    "intervalstyle",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "default_text_search_config",
    "standard_conforming_strings",
    "statement_timeout",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
    "lc_numeric",
    "lc_time",
    "bytea_output",
)
SAME = {"Etc/UTC": "UTC"}
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_WORD = re.compile(r'"[^"]+"|\w+')


def triggers(both: Both) -> Iterator[Finding]:
    """Triggers whose function names a table that does not come along: it may write it, or fail there."""
    ours, theirs = set(catalog.all_tables(both.monolith)), set(catalog.all_tables(both.service))
    outside = ours - set(both.capability.tables)
    kept: set[tuple[str, str]] = set()
    for name, table, function, source in both.service.execute(TRIGGERS, ([one.oid for one in both.there],)).fetchall():
        for other in _named(source, outside):
            kept.add((table, other))
            away = other not in theirs
            yield Finding(
                "trigger-writes-outside",
                Severity.ERROR if away else Severity.WARNING,
                f"{both.at(SERVICE)}: {table}",
                f"the trigger {name} of {table} calls {function}, which names {other}: "
                + (
                    "that table is not in the service's database, so a write of the service may fail"
                    if away
                    else "from the switch on it reads and writes the service's table of this name, not the monolith's"
                ),
                f"drop the trigger in the service, and let an event carry what {other} has to know",
            )
    for name, table, function, source in both.monolith.execute(TRIGGERS, ([one.oid for one in both.here],)).fetchall():
        for other in _named(source, outside):
            if (table, other) not in kept:
                yield Finding(
                    "trigger-writes-outside",
                    Severity.WARNING,
                    f"{both.at(MONOLITH)}: {table}",
                    f"the trigger {name} of {table} calls {function}, which names {other}: from the switch on it does "
                    f"not run, for it does not fire for rows that a stream brings, and nothing writes {other} for it",
                    f"let an event of the service carry what {other} has to know",
                )


def _named(source: str, tables: set[str]) -> list[str]:
    words = {word.strip('"') for word in _WORD.findall(_COMMENT.sub(" ", source))}
    folded = {word.lower() for word in words}
    return sorted(name for name in tables if name.rpartition(".")[2] in words | folded)


def extensions(both: Both) -> Iterator[Finding]:
    """Extensions of the monolith that the service lacks, or has in another version."""
    ours, theirs = (
        {
            name: (version, needed)
            for name, version, needed in connection.execute(
                EXTENSIONS, {"tables": [table.oid for table in tables]}
            ).fetchall()
        }
        for connection, tables in ((both.monolith, both.here), (both.service, both.there))
    )
    for name, (version, needed) in sorted(ours.items()):
        if name not in theirs:
            yield Finding(
                "extension-differs",
                Severity.WARNING if needed else Severity.NOTE,
                both.at(SERVICE),
                f"the extension {name}, which the tables {'need' if needed else 'do not need'}, is in the monolith "
                "only: a query that uses it fails in the service",
                f"CREATE EXTENSION {name} there, unless the capability's queries do not use it",
            )
        elif theirs[name][0] != version:
            yield Finding(
                "extension-differs",
                Severity.NOTE,
                both.at(SERVICE),
                f"the extension {name} is version {version} in the monolith and {theirs[name][0]} in the service",
                f"ALTER EXTENSION {name} UPDATE on the side that is behind, where a query depends on it",
            )


def indexes(both: Both) -> Iterator[Finding]:
    """Indexes, unique ones aside, that the service lacks: the same query would be slower there."""
    ours, theirs = _indexes(both.monolith, both.here), _indexes(both.service, both.there)
    for table in sorted(ours.keys() & theirs.keys()):
        for told, name in sorted(ours[table].items()):
            if told not in theirs[table]:
                yield Finding(
                    "index-differs",
                    Severity.WARNING,
                    f"{both.at(SERVICE)}: {table}",
                    f"{table} has no index like {name} there ({told}): what it makes fast is slow after the switch",
                    "make it by a migration of the service, or drop it in the monolith if nothing needs it",
                )


def _indexes(connection: Connection, tables: Sequence[Table]) -> dict[str, dict[str, str]]:
    by_oid = {table.oid: table.name for table in tables}
    found: dict[str, dict[str, str]] = {name: {} for name in by_oid.values()}
    for oid, definition, name in connection.execute(INDEXES, (list(by_oid),)).fetchall():
        found[by_oid[oid]][meaning(definition.partition(" USING ")[2])] = name
    return found


def settings(both: Both) -> Iterator[Finding]:
    """Settings of servers, databases and the tables' owners by which the same statement does something else."""
    if not both.here or not both.there:
        return
    ours, others = _settings(both.monolith, both.here[0]), _settings(both.service, both.there[0])
    for name in DECIDING:
        mine, theirs = ours[name], others[name]
        if mine != theirs:
            yield Finding(
                "setting-differs",
                Severity.WARNING,
                both.at(SERVICE),
                f"{name} is {mine or 'empty'} for the application in the monolith's database and "
                f"{theirs or 'empty'} in the service's: the same statement can do something else there",
                f"ALTER DATABASE … SET {name} on one of them, unless each application sets it for itself",
            )
    here, there = (one.info.server_version // 10000 for one in (both.monolith, both.service))
    if here != there:
        yield Finding(
            "setting-differs",
            Severity.NOTE,
            both.at(SERVICE),
            f"the monolith's server is PostgreSQL {here} and the service's is {there}",
            "run the service's tests on that version; a reverse goes back to the other one",
        )


def _settings(connection: Connection, table: Table) -> dict[str, str]:
    """Asks in a session of its own, for the tool's sessions have all of these from the tool."""
    dsn = make_conninfo(connection.info.dsn, password=connection.info.password, options="-c search_path=pg_catalog")
    with psycopg.connect(dsn, autocommit=True, connect_timeout=5) as plain:
        rows = plain.execute(SETTINGS, {"table": table.oid, "names": list(DECIDING)}).fetchall()
    return {name: SAME.get(value, value) or "" for name, value in rows}
