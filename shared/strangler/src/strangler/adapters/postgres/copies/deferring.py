"""What the copy goes without until its rows are there: secondary indexes, and constraints that need one."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg

from strangler.adapters.postgres.copies.workers import Workers
from strangler.adapters.postgres.session.connection import Connection, connect, describe, scalar
from strangler.adapters.postgres.tables.catalog import Table
from strangler.domain.errors import MoveError


def put_off(connection: Connection, *, capability: str, tables: Sequence[Table]) -> None:
    """Removes them from the copy, after noting how to put them back; a table at a time, so that it never holds one and
    waits for another."""
    for table in tables:
        with connection.transaction():
            for name, definition, drop in _secondary(connection, table):
                connection.execute(
                    "INSERT INTO strangler.deferred (capability, position, name, definition) "
                    "SELECT %s, count(*), %s, %s FROM strangler.deferred WHERE capability = %s "
                    "ON CONFLICT DO NOTHING",
                    (capability, name, definition, capability),
                )
                connection.execute(drop.encode())


def lacking(connection: Connection, *, capability: str) -> bool:
    """Whether the copy lacks an index or a constraint that a start will put back."""
    if scalar(connection, "SELECT to_regclass('strangler.deferred')") is None:
        return False
    query = "SELECT EXISTS (SELECT FROM strangler.deferred WHERE capability = %s)"
    return bool(scalar(connection, query, capability))


# The definition of an index does not say everything: the tablespace is set before it, and the rest after it. An index
# that this role could not make again in its tablespace stays.
SECONDARY = """
SELECT made.name,
       concat_ws('; ', (SELECT format('SET LOCAL default_tablespace = %%I', spcname) FROM pg_tablespace s
                        WHERE s.oid = i.reltablespace),
           CASE WHEN k.oid IS NULL THEN pg_get_indexdef(i.oid)
                ELSE format('ALTER TABLE %%s ADD CONSTRAINT %%I %%s',
                            %(table)s::text, k.conname, pg_get_constraintdef(k.oid)) END,
           (SELECT format('ALTER INDEX %%s SET (%%s)', made.name,
                          string_agg(format('%%I = %%L', option_name, option_value), ', '))
            FROM pg_options_to_table(i.reloptions) HAVING k.oid IS NOT NULL AND count(*) > 0),
           CASE WHEN x.indisclustered THEN format('ALTER TABLE %%s CLUSTER ON %%I', %(table)s::text, i.relname) END,
           (SELECT string_agg(format('ALTER INDEX %%s ALTER COLUMN %%s SET STATISTICS %%s', made.name, attnum,
                                     attstattarget), '; ')
            FROM pg_attribute WHERE attrelid = i.oid AND attstattarget >= 0),
           (SELECT string_agg(format('ALTER INDEX %%s DEPENDS ON EXTENSION %%I', made.name, e.extname), '; ')
            FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
            WHERE d.classid = 'pg_class'::regclass AND d.objid = i.oid AND d.deptype = 'x'),
           (SELECT format('COMMENT ON INDEX %%s IS %%L', made.name, told)
            FROM obj_description(i.oid, 'pg_class') told WHERE told <> ''),
           (SELECT format('COMMENT ON CONSTRAINT %%I ON %%s IS %%L', k.conname, %(table)s::text, told)
            FROM obj_description(k.oid, 'pg_constraint') told WHERE told <> '')),
       CASE WHEN k.oid IS NULL THEN format('DROP INDEX %%s', i.oid::regclass)
            ELSE format('ALTER TABLE %%s DROP CONSTRAINT %%I', %(table)s::text, k.conname) END
FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_namespace n ON n.oid = i.relnamespace
CROSS JOIN LATERAL (SELECT format('%%I.%%I', n.nspname, i.relname) AS name) made
LEFT JOIN pg_constraint k ON k.conindid = i.oid AND k.conrelid = x.indrelid AND k.contype IN ('u', 'x')
WHERE x.indrelid = %(table)s::regclass AND NOT x.indisprimary AND NOT x.indisreplident
  AND (i.reltablespace = 0 OR has_tablespace_privilege(i.reltablespace, 'CREATE'))
  AND NOT EXISTS (SELECT FROM pg_inherits h WHERE h.inhrelid = i.oid)
  AND NOT EXISTS (SELECT FROM pg_constraint f WHERE f.conindid = i.oid AND f.contype = 'f')
ORDER BY i.relname
"""


def _secondary(connection: Connection, table: Table) -> list[tuple[str, str, str]]:
    if table.partitioned:
        return []
    rows = connection.execute(SECONDARY, {"table": table.qualified}).fetchall()
    return [(row[0], row[1], row[2]) for row in rows]


def put_back(dsn: str, *, capability: str, purpose: str, threads: int) -> None:
    """Puts back what was noted, several things at a time; a rerun goes on where it stopped.

    Raises:
        MoveError: a constraint does not hold for the rows; the error names it, and values.
    """
    with connect(dsn, purpose=purpose) as connection:
        query = "SELECT name, definition FROM strangler.deferred WHERE capability = %s ORDER BY position"
        noted = connection.execute(query, (capability,)).fetchall()
    workers = Workers(noted)

    def work(_: int) -> None:
        with connect(dsn, purpose=purpose, idle_ms=0) as connection:
            for name, definition in workers.items():
                _make(connection, capability, name, definition)

    workers.run(min(threads, len(noted)), work)


def _make(connection: Connection, capability: str, name: str, definition: str) -> None:
    try:
        with connection.transaction():
            connection.execute(definition.encode())
            done = "DELETE FROM strangler.deferred WHERE capability = %s AND name = %s"
            connection.execute(done, (capability, name))
    except psycopg.Error as error:
        raise MoveError(
            f"{name} does not hold for the copied rows: {told(error)}",
            place=f"{capability}, {describe(connection.info.dsn)}",
            remedy="mend those rows on the owner, then run start again",
            id="constraint-not-kept",
        ) from error


def told(error: BaseException) -> str:
    """The server's message, with the values and the table that it names."""
    if not isinstance(error, psycopg.Error) or error.diag.message_primary is None:
        return str(error) or type(error).__name__
    parts = [error.diag.message_primary, error.diag.message_detail, error.diag.context]
    table = f"table {error.diag.table_name}" if error.diag.table_name else None
    return "; ".join(part.splitlines()[0] for part in (*parts, table) if part)
