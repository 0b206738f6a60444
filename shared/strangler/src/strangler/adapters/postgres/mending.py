"""Turns fences right that somebody has turned by hand, and forgets partitions that are no longer there."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql

from strangler.adapters.postgres import fences, locks
from strangler.adapters.postgres.catalog import Table
from strangler.adapters.postgres.connection import Connection, scalar
from strangler.domain import names

TRIES = 3
# Locked against a fence or a lift for as long as the triggers are being turned.
STATE = """
SELECT true FROM strangler.side
WHERE capability = %s AND open = %s AND (epoch = %s OR NOT open AND epoch < %s) FOR UPDATE
"""
FORGET = """
UPDATE strangler.side SET tables = array_remove(tables, %(table)s)
WHERE capability = %(capability)s AND %(table)s = ANY (tables) AND to_regclass(%(table)s) IS NULL
"""
QUEUE = "SELECT tgname FROM pg_trigger WHERE tgrelid = %s AND starts_with(tgname, %s) AND tgenabled <> 'R'"


@dataclass(frozen=True, slots=True)
class State:
    """What the ledger says of a side: nothing is touched on one that says otherwise of itself."""

    capability: str
    opened: bool
    epoch: int


def mend(connection: Connection, state: State, marks: Sequence[str], tables: Sequence[Table]) -> list[str]:
    """Turns the fences of the tables that ``marks`` names; returns what was done.

    What could not be had within a few tries stays as it is, to be tried again.
    """
    done = []
    for mark in marks:
        gone = connection.execute(FORGET, {"capability": state.capability, "table": mark}).rowcount == 1
        if gone:
            done.append(f"forgot {mark}, which is gone,")
    wrong = [table for table in tables if table.qualified in marks]
    if wrong and _turned(connection, state, wrong):
        done.append(f"turned the fences of {', '.join(table.qualified for table in wrong)} right")
    return done


def _turned(connection: Connection, state: State, tables: Sequence[Table]) -> bool:
    # Below the deadlock timeout: whoever queues behind this try goes on before his own check would kill him.
    statement_ms = max(50, locks.deadlock_ms(connection) // 2)
    for attempt in range(TRIES):
        if attempt:
            time.sleep(random.uniform(0.5, 1.0) * statement_ms / 1000)  # noqa: S311  spread, not secrecy
        try:
            with connection.transaction():
                connection.execute("SELECT set_config('statement_timeout', %s, true)", (str(statement_ms),))
                return _turn(connection, state, tables)
        except locks.NOT_FREE:
            continue
    return False


def _turn(connection: Connection, state: State, tables: Sequence[Table]) -> bool:
    listed = sql.SQL(", ").join(sql.SQL("ONLY {}").format(table.sql()) for table in tables)
    connection.execute(sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(listed))
    if not scalar(connection, STATE, state.capability, state.opened, state.epoch, state.epoch):
        return False
    for table in tables:
        # Made anew, not only enabled: one that is missing or was replaced is right again, too.
        fences.create(connection, table, state.capability)
        connection.execute("SELECT strangler.turn_fence(%s, %s)", (table.qualified, state.opened))
        _turn_queue(connection, table)
    return True


def _turn_queue(connection: Connection, table: Table) -> None:
    for (name,) in connection.execute(QUEUE, (table.oid, names.ORPHAN)).fetchall():
        connection.execute(
            sql.SQL("ALTER TABLE {} ENABLE REPLICA TRIGGER {}").format(table.sql(), sql.Identifier(name))
        )
