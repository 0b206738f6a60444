"""Tries what a start is about to promise, in a transaction that is rolled back."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
from psycopg import sql

from strangler.adapters.postgres.session.connection import Connection, describe
from strangler.adapters.postgres.tables.catalog import Table
from strangler.adapters.postgres.tables.locks import NOT_FREE
from strangler.domain.errors import PreflightError

PROBE = "strangler_probe"
LOCK_MS = 5000  # only a vacuum or a change of the table waits behind this lock, or makes it wait
REMEDY = "ALTER TABLE {} REPLICA IDENTITY DEFAULT, or by an index of columns that are NOT NULL and not generated"


def writable_when_published(connection: Connection, tables: Sequence[Table]) -> None:
    """Every table still takes UPDATE and DELETE once it is published as a start publishes it.

    The server checks this whenever a statement begins. Whether it would refuse depends on its version, the columns, the
    replica identity and all other publications, so the server is asked. EXPLAIN begins a statement without running it,
    and fires no trigger.

    Raises:
        PreflightError: naming the table, in the server's words.
    """
    place = describe(connection.info.dsn)
    leaves = [table for table in tables if not table.partitioned]
    publish = sql.SQL("CREATE PUBLICATION {} FOR TABLE {} WITH (publish = 'insert, update, delete')").format(
        sql.Identifier(PROBE), sql.SQL(", ").join(table.sql() for table in leaves)
    )
    try:
        with connection.transaction(force_rollback=True):
            connection.execute("SET LOCAL client_min_messages = error")
            connection.execute(f"SET LOCAL lock_timeout = {LOCK_MS}")
            connection.execute(publish)
            for table in leaves:
                _try(connection, table, place)
    except NOT_FREE as error:
        raise PreflightError(
            f"a table is held by somebody: {error.diag.message_primary}",
            place=place,
            remedy="wait for the vacuum or the change of a table that is under way (pg_locks), and run it again",
            id="table-held",
        ) from error
    except psycopg.Error as error:
        raise PreflightError(
            f"the tables cannot be published: {error.diag.message_primary}",
            place=place,
            remedy="mend what the server says; nothing has been changed",
            id="not-publishable",
        ) from error


def _try(connection: Connection, table: Table, place: str) -> None:
    column = next((one.name for one in table.columns if not (one.generated or one.always)), None)
    statements = [sql.SQL("EXPLAIN DELETE FROM ONLY {}").format(table.sql())]
    if column is not None:
        statements.append(
            sql.SQL("EXPLAIN UPDATE ONLY {} SET {} = DEFAULT").format(table.sql(), sql.Identifier(column))
        )
    for statement in statements:
        try:
            connection.execute(statement)
        except psycopg.Error as error:
            if isinstance(error, NOT_FREE):
                raise
            detail = f" ({error.diag.message_detail})" if error.diag.message_detail else ""
            raise PreflightError(
                f"{table.name} would refuse writes once it is published: {error.diag.message_primary}{detail}",
                place=place,
                remedy=REMEDY.format(table.qualified),
                id="replica-identity",
            ) from error
