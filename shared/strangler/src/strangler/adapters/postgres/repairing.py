"""Mends rows of the copy while the owner writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import psycopg
from psycopg import sql

from strangler.adapters.postgres.catalog import Column, Table
from strangler.adapters.postgres.connection import Connection, connect, describe, own_origin
from strangler.adapters.postgres.differing import LOCK_MS, ONLY_THERE, Difference, Settle
from strangler.adapters.postgres.locks import NOT_FREE
from strangler.adapters.postgres.reading import Key, matching
from strangler.domain.errors import MoveError


def mend(
    capability: str,
    owner: Connection,
    copy_dsn: str,
    tables: Mapping[str, tuple[Table, Table]],
    found: Sequence[Difference],
    *,
    settle: Settle,
) -> None:
    """Makes each differing row of the copy what the owner's is, in a session with an origin of its own.

    ``tables`` has the owner's and the copy's by their name.

    Raises:
        MoveError: a row is locked by a writer, or another stands in its way.
    """
    with (
        connect(copy_dsn, purpose=f"repair {capability}", idle_ms=60_000) as copy,
        own_origin(copy, capability, "repair"),
    ):
        # The local fence stands on the copy; a replica's writes pass it.
        copy.execute("SET session_replication_role = replica")
        # What is only in the copy goes first: it may have a value that a row of the owner's needs.
        for one in sorted(found, key=lambda one: one.kind != ONLY_THERE):
            try:
                repair(owner, copy, *tables[one.table], one, settle=settle)
            except NOT_FREE as error:
                raise MoveError(
                    f"{one} is locked by a writer", place=capability, remedy="run verify --repair again"
                ) from error
            except psycopg.IntegrityError as error:
                raise MoveError(
                    f"{one} cannot be mended: {error.diag.message_primary}",
                    place=f"{capability}, {describe(copy_dsn)}",
                    remedy="mend the row that stands in its way first",
                ) from error


def repair(
    owner: Connection, copy: Connection, source: Table, table: Table, difference: Difference, *, settle: Settle
) -> None:
    """Makes the copy's row in ``table`` what the owner's in ``source`` is.

    The owner's row stays locked from before it is read until the copy is mended, and what was committed before the
    lock is let arrive first: otherwise an older value could win, or an insert on its way meet a row that is
    already there. A row that the owner does not have cannot be locked; there the table is, for as long.

    ``copy`` must be in the replica role and have an origin of its own.

    Raises:
        psycopg.errors.QueryCanceled: when the owner's lock is not to be had in half a second.
    """
    columns = [column for column in table.columns if not column.generated]
    select = reading(source, columns, difference.key)
    with owner.transaction():
        owner.execute("SELECT set_config('statement_timeout', %s, true)", (str(LOCK_MS),))
        row = owner.execute(select + sql.SQL(" FOR UPDATE")).fetchone()
        if row is None:
            owner.execute(sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(source.sql()))
            row = owner.execute(select).fetchone()
        settle()
        if row is None:
            where = matching(table, [difference.key])
            copy.execute(sql.SQL("DELETE FROM ONLY {} WHERE {}").format(table.sql(), where))
        else:
            copy.execute(placing(table, columns, row))


def reading(table: Table, columns: Sequence[Column], key: Key) -> sql.Composed:
    """Selects a row's columns as text."""
    as_text = sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(column.name)) for column in columns)
    return sql.SQL("SELECT {} FROM ONLY {} WHERE {}").format(as_text, table.sql(), matching(table, [key]))


def placing(table: Table, columns: Sequence[Column], row: Sequence[str | None]) -> sql.Composed:
    """Puts a row that was read so in its place, whether there is one of its key or not."""
    # Never by way of a DELETE: on the monolith it would be taken for the owner's, and cleaned up after.
    values = sql.SQL(", ").join(
        sql.SQL("{}::{}").format(sql.Literal(value), sql.SQL(column.type))
        for column, value in zip(columns, row, strict=True)
    )
    changes = [
        sql.SQL("{0} = excluded.{0}").format(sql.Identifier(column.name))
        for column in columns
        # The key too: what is one key to its index (citext, numeric) can be written in more ways than one.
        if not column.always
    ]
    action = sql.SQL("UPDATE SET {}").format(sql.SQL(", ").join(changes)) if changes else sql.SQL("NOTHING")
    # Under another name, for a table may be called `excluded` itself.
    return sql.SQL("INSERT INTO {} AS present ({}) OVERRIDING SYSTEM VALUE VALUES ({}) ON CONFLICT ({}) DO {}").format(
        table.sql(),
        sql.SQL(", ").join(sql.Identifier(column.name) for column in columns),
        values,
        sql.SQL(", ").join(map(sql.Identifier, table.key)),
        action,
    )
