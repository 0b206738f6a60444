"""Mends rows of the copy while the owner writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Self

import psycopg
from psycopg import sql

from strangler.adapters.postgres.copies.differing import LOCK_MS, ONLY_THERE, CatchUp, Difference
from strangler.adapters.postgres.copies.reading import Key, as_written, matching
from strangler.adapters.postgres.session.connection import Connection, connect, describe, own_origin
from strangler.adapters.postgres.tables import acting
from strangler.adapters.postgres.tables.catalog import Column, Table
from strangler.adapters.postgres.tables.locks import NOT_FREE
from strangler.domain.errors import MoveError

BATCH_ROWS = 10_000  # differences that are held at a time


class Repairs:
    """Makes each differing row of the copy equal to the owner's, in a session with an origin of its own.

    ``tables`` has the owner's and the copy's table by name. Used as a context, which ends the session.
    """

    def __init__(
        self,
        capability: str,
        owner: Connection,
        copy_dsn: str,
        tables: Mapping[str, tuple[Table, Table]],
        *,
        catch_up: CatchUp,
    ) -> None:
        self.capability, self.copy_dsn = capability, copy_dsn
        self._owner, self._tables, self._catch_up = owner, tables, catch_up
        self._open = ExitStack()
        self._copy: Connection | None = None
        self._waiting: list[Difference] = []
        self._blocked: list[Difference] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self._open.close()

    def take(self, found: Sequence[Difference]) -> None:
        """Mends them, at once or together with later ones.

        Raises:
            MoveError: a writer has locked a row, or other rows stand in the way of very many.
        """
        self._waiting += found
        if len(self._waiting) >= BATCH_ROWS:
            self._mend()

    def finish(self) -> None:
        """Mends what is left.

        Raises:
            MoveError: a writer has locked a row, or another row stands in its way.
        """
        self._mend()
        while self._blocked:
            # A row that stood in the way may be gone, mended with another batch.
            waiting, self._blocked = self._blocked, []
            for one in waiting:
                if error := self._mended(one):
                    self._blocked.append(one)
                    last = error
            if len(self._blocked) == len(waiting):
                raise self._in_the_way(self._blocked[-1], last) from last

    def _mend(self) -> None:
        # Rows that are only in the copy go first: they may have a unique value that a row of the owner needs.
        waiting = sorted(self._waiting, key=lambda one: one.kind != ONLY_THERE)
        self._waiting = []
        for one in waiting:
            if error := self._mended(one):
                self._blocked.append(one)
                if len(self._blocked) >= BATCH_ROWS:
                    raise self._in_the_way(one, error) from error

    def _mended(self, one: Difference) -> psycopg.IntegrityError | None:
        if self._copy is None:
            self._copy = self._open.enter_context(
                connect(self.copy_dsn, purpose=f"repair {self.capability}", idle_ms=60_000)
            )
            self._open.enter_context(own_origin(self._copy, self.capability, "repair"))
            # The local fence stands on the copy; a replica's writes pass it.
            self._copy.execute("SET session_replication_role = replica")
        try:
            repair(self._owner, self._copy, *self._tables[one.table], one, catch_up=self._catch_up)
        except NOT_FREE as error:
            raise MoveError(
                f"{one} is locked by a writer", place=self.capability, remedy="run verify --repair again"
            ) from error
        except psycopg.IntegrityError as error:
            return error
        return None

    def _in_the_way(self, one: Difference, error: psycopg.IntegrityError) -> MoveError:
        return MoveError(
            f"{one} cannot be mended: {error.diag.message_primary}",
            place=f"{self.capability}, {describe(self.copy_dsn)}",
            remedy="mend the row that stands in its way first",
        )


def repair(
    owner: Connection, copy: Connection, source: Table, table: Table, difference: Difference, *, catch_up: CatchUp
) -> None:
    """Makes the copy's row in ``table`` equal to the owner's in ``source``.

    The owner's row stays locked from before it is read until the copy is mended, and changes that were committed before
    the lock arrive first: otherwise an older value could win, or an insert on its way could meet a row that is already
    there. A row that the owner does not have cannot be locked; then the table is locked for that time.

    ``copy`` must be in the replica role and have an origin of its own.

    Raises:
        psycopg.errors.QueryCanceled: when the owner's lock cannot be taken within half a second.
    """
    columns = [column for column in table.columns if not column.generated]
    select = reading(source, columns, [difference.key])
    with owner.transaction():
        owner.execute("SELECT set_config('statement_timeout', %s, true)", (str(LOCK_MS),))
        rows = as_written(owner.execute(select + sql.SQL(" FOR UPDATE")))
        if not rows:
            owner.execute(sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(source.sql()))
            rows = as_written(owner.execute(select))
        catch_up()
        where = matching(table, [difference.key])
        if not rows:
            acting.act(copy, table, sql.SQL("DELETE FROM ONLY {} WHERE {}").format(table.sql(), where))
        else:
            _place(copy, table, columns, rows[0], where)


def reading(table: Table, columns: Sequence[Column], keys: Sequence[Key]) -> sql.Composed:
    """Selects columns of the rows with these keys, for `as_written`."""
    return sql.SQL("SELECT {} FROM ONLY {} WHERE {}").format(
        sql.SQL(", ").join(sql.Identifier(column.name) for column in columns), table.sql(), matching(table, keys)
    )


def inserting(table: Table, columns: Sequence[Column], rows: Sequence[Sequence[str | None]]) -> sql.Composed:
    """Inserts rows that were read by `reading`."""
    return sql.SQL("INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE VALUES {}").format(
        table.sql(),
        sql.SQL(", ").join(sql.Identifier(column.name) for column in columns),
        sql.SQL(", ").join(sql.SQL("({})").format(sql.SQL(", ").join(_values(columns, row))) for row in rows),
    )


def _values(columns: Sequence[Column], row: Sequence[str | None]) -> list[sql.Composed]:
    return [
        sql.SQL("{}::{}").format(sql.Literal(value), sql.SQL(column.type))
        for column, value in zip(columns, row, strict=True)
    ]


def _place(
    copy: Connection, table: Table, columns: Sequence[Column], row: Sequence[str | None], where: sql.Composable
) -> None:
    # Never by a DELETE: on the monolith it would be taken for the owner's deletion, with a clean-up after it. Nor by ON
    # CONFLICT: a key WITHOUT OVERLAPS does not support it.
    values = _values(columns, row)
    changes = [
        sql.SQL("{} = {}").format(sql.Identifier(column.name), value)
        for column, value in zip(columns, values, strict=True)
        # The key too: values that are equal to its index (citext, numeric) can be written in several ways.
        if not column.always
    ]
    found = sql.SQL("SELECT FROM ONLY {} WHERE {}").format(table.sql(), where)
    if changes:
        found = sql.SQL("UPDATE ONLY {} SET {} WHERE {} RETURNING true").format(
            table.sql(), sql.SQL(", ").join(changes), where
        )
    counted = sql.SQL("WITH found AS ({}) SELECT count(*)::text FROM found").format(found)
    if acting.act(copy, table, counted, asks=True) != "0":
        return
    acting.act(copy, table, inserting(table, columns, [row]))
