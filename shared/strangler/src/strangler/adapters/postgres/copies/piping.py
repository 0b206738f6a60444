"""Rows on their way from one server to the other: as many at a time as fill a block, and never read on the way.

Note "blocks": libpq hands out a COPY row by row. To wait for each row, and to send it on alone, costs several times
what the row itself does; so all rows that have arrived are taken at once.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from psycopg import errors, pq, sql
from psycopg.generators import fetch_many
from psycopg.waiting import Ready, Wait

from strangler.adapters.postgres.session.connection import Connection
from strangler.adapters.postgres.tables.catalog import Table

if TYPE_CHECKING:
    from psycopg.pq.abc import PGconn

BLOCK_BYTES = 128 * 1024  # psycopg cuts what is larger
# Types of the system whose binary form says all that their text says, and names nothing of the database it comes from,
# as the number of a table would.
PORTABLE = (
    "bool", "bpchar", "bytea", "cidr", "date", "float4", "float8", "inet", "int2", "int4", "int8", "interval", "json",
    "jsonb", "macaddr", "macaddr8", "numeric", "text", "time", "timestamp", "timestamptz", "timetz", "uuid", "varchar",
)  # fmt: skip
KINDS = """
SELECT a.attname, a.atttypid::int8, a.atttypmod, e.oid IS NOT NULL
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_type e ON e.oid IN (t.oid, t.typelem) AND e.typname = ANY (%s)
    AND e.typnamespace = 'pg_catalog'::regnamespace AND t.typnamespace = e.typnamespace
WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
"""


def pipe(
    source: Connection, query: sql.Composed, target: Connection, into: sql.Composed, *, binary: bool = False
) -> int:
    """Copies the rows that ``query`` selects to where ``into`` names table and columns; returns their number.

    About a block of them is held, and what psycopg has not sent yet; a row that is wider is held whole.

    Raises:
        psycopg.Error: of either side; the other's statement is over then, too.
    """
    form = sql.SQL("BINARY" if binary else "TEXT")
    select = sql.SQL("COPY ({}) TO STDOUT (FORMAT {})").format(query, form)
    insert = sql.SQL("COPY {} FROM STDIN (FORMAT {})").format(into, form)
    with source.cursor() as reader, target.cursor() as writer:
        with reader.copy(select), writer.copy(insert) as sink:
            more = True
            while more:
                parts: list[bytes] = []
                more = source.wait(_take(source.pgconn, parts))
                if block := b"".join(parts):
                    sink.write(block)
        return writer.rowcount


def portable(source: Connection, table: Table, target: Connection, peer: Table) -> bool:
    """Whether the rows can go in binary form: both servers are of one major version, and each column is of a type of
    the system that has the same form everywhere."""
    if source.info.server_version // 10000 != target.info.server_version // 10000:
        return False
    kinds = [
        {row[0]: row[1:] for row in connection.execute(KINDS, (list(PORTABLE), one.oid)).fetchall()}
        for connection, one in ((source, table), (target, peer))
    ]
    return kinds[0] == kinds[1] and all(known for _, _, known in kinds[0].values())


def _take(pgconn: PGconn, parts: list[bytes]) -> Generator[Wait, Ready, bool]:
    """Adds the rows that come next to ``parts``, about a block of them; whether the COPY goes on then."""
    size = 0
    # As little as can be for each row: libpq gives no more than what it has read already, so this ends soon.
    get = pgconn.get_copy_data
    while True:
        rows: list[Any] = []
        add = rows.append
        length, row = get(1)
        while length > 0:
            add(row)
            length, row = get(1)
        parts.append(b"".join(rows))
        size += len(parts[-1])
        if length < 0:
            break
        if size >= BLOCK_BYTES:
            return True
        yield Wait.R
        pgconn.consume_input()
    (result,) = yield from fetch_many(pgconn)
    if result.status != pq.ExecStatus.COMMAND_OK:
        raise errors.error_from_result(result)
    return False
