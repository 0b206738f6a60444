"""The queue of deletions that arrive by a stream: which deletions, with which columns, and by which triggers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from psycopg import sql
from psycopg.types.json import Jsonb

from strangler.adapters.postgres.session.connection import Connection, scalar
from strangler.adapters.postgres.tables import references
from strangler.adapters.postgres.tables.catalog import Table
from strangler.domain import names
from strangler.domain.errors import ConfigurationError
from strangler.domain.move import Deviation
from strangler.domain.project import MONOLITH, Capability, Project

NOTED = "SELECT coalesce(to_jsonb(s) -> 'keys', '{}') FROM strangler.side s WHERE capability = %s"
NOTE = "UPDATE strangler.side SET keys = %s WHERE capability = %s AND keys <> %s"

FINGERPRINT = """
SELECT concat((SELECT to_jsonb(s) -> 'keys' FROM strangler.side s WHERE capability = %s),
              (SELECT md5(string_agg(concat(k.oid, k.confrelid, k.confkey), ' ' ORDER BY k.oid))
               FROM pg_constraint k WHERE k.contype = 'f'))
"""


def argument(columns: Sequence[str]) -> str:
    """The argument for an older version of the queue's function, which knows only the first column."""
    return columns[0] if len(columns) == 1 else ""


def queue(connection: Connection, capability: str, table: Table, columns: Sequence[str]) -> None:
    """Makes the trigger of a table for which the side's row has these columns; replaces a trigger of the same name."""
    name = sql.Identifier(names.ORPHAN)
    arguments = map(sql.Literal, (capability, argument(columns), table.name))
    connection.execute(
        sql.SQL(
            "CREATE OR REPLACE TRIGGER {} AFTER DELETE ON {} FOR EACH ROW EXECUTE FUNCTION strangler.queue_orphan({})"
        ).format(name, table.sql(), sql.SQL(", ").join(arguments))
    )
    connection.execute(sql.SQL("ALTER TABLE {} ENABLE REPLICA TRIGGER {}").format(table.sql(), name))
    # The sweep runs as the application, which owns its tables but not this schema.
    connection.execute(
        "SELECT strangler.let_sweep(pg_get_userbyid(relowner)) FROM pg_class WHERE oid = %s", (table.oid,)
    )


def note(
    connection: Connection, capability: str, tables: Sequence[Table], keys: Mapping[str, Sequence[str]]
) -> list[str]:
    """Writes the columns by which something points at the tables into the side's row; names the tables that had others.

    A column stays as long as it exists, even if nothing points at it any more.
    """
    known, changed = noted(connection, capability), []
    for table in tables:
        there = {column.name for column in table.columns}
        before = known.get(table.qualified, [])
        columns = [*dict.fromkeys(column for column in [*before, *keys.get(table.name, ())] if column in there)]
        if columns and columns != before:
            known[table.qualified] = columns
            changed.append(f"deletions of {table.name} are queued with {', '.join(columns)} now")
    connection.execute(NOTE, (Jsonb(known), capability, Jsonb(known)))
    return changed


def fingerprint(connection: Connection, capability: str) -> str:
    """A value that changes with the side's row and with every foreign key, so that one look per second is cheap."""
    return str(scalar(connection, FINGERPRINT, capability))


def unqueued(
    connection: Connection, project: Project, capability: Capability, tables: Sequence[Table]
) -> list[Deviation]:
    """Columns that something points at now, by a constraint or by strangler.toml, and that the side's row does not
    have."""
    known = noted(connection, capability.name)
    present = {table.name: table for table in tables}
    try:
        pointers = references.pointers(connection, project, capability, tables) if tables else []
    except ConfigurationError as error:
        return [Deviation(MONOLITH, f"{error.place}: {error.message}", error.remedy, unproven=False)]
    found = []
    for pointer in pointers:
        table = present[pointer.parent]
        if set(pointer.columns) <= set(known.get(table.qualified, [])):
            continue
        at = ", ".join(f"{pointer.parent}.{column}" for column in pointer.columns)
        found.append(
            Deviation(
                MONOLITH,
                f"{pointer.table}.{pointer.column} points at {at}, by which no deletion that arrives is queued: what "
                "refers to a deleted row stays",
                "`strangler serve` queues them from its next look on, verify and switch do so, too; clean up what "
                "refers to rows that have been deleted meanwhile",
                mendable=True,
                unproven=False,
                mark=table.qualified,
            )
        )
    return found


def noted(connection: Connection, capability: str) -> dict[str, list[str]]:
    """The columns of the side's row, by table."""
    found: dict[str, list[str]] | None = scalar(connection, NOTED, capability)
    return found or {}


ORPHANS = """
SELECT count(*) FILTER (WHERE attempts = 0), count(*) FILTER (WHERE attempts > 0),
       coalesce((SELECT max(rows) FROM strangler.swept WHERE capability = %(capability)s), 0)
FROM strangler.orphan WHERE capability = %(capability)s
"""


def waiting(connection: Connection, capability: str) -> dict[str, int]:
    """Deletions that came by the stream: how many wait for their clean-up, have failed, or are done."""
    if scalar(connection, "SELECT to_regclass('strangler.swept')") is None:
        return {}
    row = connection.execute(ORPHANS, {"capability": capability}).fetchone()
    assert row is not None
    return dict(zip(("waiting", "failing", "swept"), row, strict=True))
