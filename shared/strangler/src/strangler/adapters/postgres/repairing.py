"""Mends rows of the copy while the owner writes."""

from __future__ import annotations

from psycopg import sql

from strangler.adapters.postgres.catalog import Table
from strangler.adapters.postgres.connection import Connection
from strangler.adapters.postgres.hashing import Difference, Settle, matching

LOCK_MS = 500


def repair(owner: Connection, copy: Connection, table: Table, difference: Difference, *, settle: Settle) -> None:
    """Makes the copy's row what the owner's is.

    The owner's row stays locked from before it is read until the copy is mended, and what was committed before the
    lock is let arrive first: otherwise an older value could win, or an insert on its way meet a row that is
    already there. A row that the owner does not have cannot be locked; there the table is, for as long.

    ``copy`` must be in the replica role and have an origin of its own.

    Raises:
        psycopg.errors.QueryCanceled: when the owner's lock is not to be had in half a second.
    """
    where = matching(table, [difference.key])
    columns = [column for column in table.columns if not column.generated]
    as_text = sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(column.name)) for column in columns)
    with owner.transaction():
        owner.execute("SELECT set_config('statement_timeout', %s, true)", (str(LOCK_MS),))
        row = owner.execute(
            sql.SQL("SELECT {} FROM {} WHERE {} FOR UPDATE").format(as_text, table.sql(), where)
        ).fetchone()
        if row is None:
            owner.execute(sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(table.sql()))
            row = owner.execute(sql.SQL("SELECT {} FROM {} WHERE {}").format(as_text, table.sql(), where)).fetchone()
        settle()
        with copy.transaction():
            copy.execute(sql.SQL("DELETE FROM {} WHERE {}").format(table.sql(), where))
            if row is not None:
                names = sql.SQL(", ").join(sql.Identifier(column.name) for column in columns)
                values = sql.SQL(", ").join(
                    sql.SQL("{}::").format(sql.Placeholder()) + sql.SQL(column.type) for column in columns
                )
                copy.execute(
                    sql.SQL("INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE VALUES ({})").format(
                        table.sql(), names, values
                    ),
                    row,
                )
