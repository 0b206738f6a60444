"""Removes things that a move has made and no longer needs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress

import psycopg
from psycopg import sql

from strangler.adapters.postgres.session.connection import Connection, database_of, describe
from strangler.adapters.postgres.streams.streams import Stream
from strangler.adapters.postgres.tables.catalog import Table
from strangler.adapters.postgres.tables.locks import locked
from strangler.domain import names
from strangler.domain.errors import RefusedError

PARENTS = """
SELECT DISTINCT format('%%I.%%I', n.nspname, c.relname) FROM pg_constraint k
JOIN pg_class c ON c.oid = k.confrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE k.contype = 'f' AND k.conrelid = ANY (%(tables)s) AND k.confrelid <> ALL (%(tables)s)
"""


def drop_tables(connection: Connection, stream: Stream, tables: Sequence[Table]) -> None:
    """Drops the tables of a side together with the subscription that fills them, in one transaction.

    Raises:
        RefusedError: something there still needs one of them, or the side is open; nothing has been dropped.
    """
    # With a foreign key go the triggers of the table that it points at: the drop locks that table, too.
    parents = [name for (name,) in connection.execute(PARENTS, {"tables": [one.oid for one in tables]}).fetchall()]
    try:
        with locked(connection, tables, "ACCESS EXCLUSIVE", besides=parents):
            _require_closed(connection, stream.capability)
            stream.unsubscribe(connection)
            # RESTRICT is the default: this fails if something still points there.
            connection.execute(sql.SQL("DROP TABLE {}").format(sql.SQL(", ").join(table.sql() for table in tables)))
    except psycopg.errors.DependentObjectsStillExist as error:
        needed = re.sub(r"\bpublic\.", "", error.diag.message_detail or "")
        raise RefusedError(
            f"the monolith still needs it: {needed}",
            place=stream.capability,
            remedy="remove what depends on the old tables, then run the command again",
            id="still-needed",
        ) from error


def _require_closed(connection: Connection, capability: str) -> None:
    row = connection.execute(
        "SELECT open FROM strangler.side WHERE capability = %s FOR SHARE", (capability,)
    ).fetchone()
    if row is None or row[0]:
        raise RefusedError(
            "its side is not closed there: what the tables hold may be the only rows there are",
            place=f"{capability}, {describe(connection.info.dsn)}",
            remedy="see `strangler status` for who owns it; nothing has been dropped",
            id="side-open",
        )


def drop_origins(connection: Connection, capability: str) -> None:
    """Removes every replication origin that bears the capability's name in this database.

    An older name does not tell its database: an origin that another session uses is not ours.
    """
    database = database_of(connection)
    for (origin,) in connection.execute("SELECT roname FROM pg_replication_origin").fetchall():
        if names.belongs(origin, database, capability):
            with suppress(psycopg.errors.ObjectInUse):
                connection.execute("SELECT pg_replication_origin_drop(%s)", (origin,))
