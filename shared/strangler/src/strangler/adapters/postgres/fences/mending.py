"""Turns right the fences that somebody has turned by hand, and forgets partitions that are no longer there."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from psycopg import sql

from strangler.adapters.postgres.fences import deletions, fences
from strangler.adapters.postgres.session.connection import Connection, scalar
from strangler.adapters.postgres.tables import locks
from strangler.adapters.postgres.tables.catalog import Table
from strangler.domain import names

TRIES = 3
PRESENT = "SELECT to_regclass('strangler.side')"
REPLICA = (names.REPLICA_FENCE, names.REPLICA_TRUNCATE)
# The row is locked, so that no fence or lift happens while the triggers are being turned.
STATE = """
SELECT true FROM strangler.side
WHERE capability = %s AND open = %s AND (epoch = %s OR NOT open AND epoch < %s) FOR UPDATE
"""
FORGET = """
UPDATE strangler.side SET tables = array_remove(tables, %(table)s)
WHERE capability = %(capability)s AND %(table)s = ANY (tables) AND to_regclass(%(table)s) IS NULL
"""
PARTITIONS = """
SELECT format('%%I.%%I', n.nspname, c.relname) FROM unnest(%s::text[]) t, pg_partition_tree(t::regclass) p
JOIN pg_class c ON c.oid = p.relid JOIN pg_namespace n ON n.oid = c.relnamespace
"""
# The tool's triggers of a table, known by their function, whatever their names are.
OURS = """
SELECT g.tgname, p.proname, g.tgenabled FROM pg_trigger g JOIN pg_proc p ON p.oid = g.tgfoid
WHERE g.tgrelid = %s AND p.pronamespace = 'strangler'::regnamespace
"""
# Fences that refuse an owner's own writes. Asked alone where nothing else can be compared.
FIRING = """
SELECT t, array_agg(g.tgname::text ORDER BY g.tgname) FROM strangler.side, unnest(tables) t
JOIN pg_trigger g ON g.tgrelid = to_regclass(t) AND g.tgenabled IN ('O', 'A')
JOIN pg_proc p ON p.oid = g.tgfoid AND p.pronamespace = 'strangler'::regnamespace AND p.proname = ANY (%(functions)s)
WHERE capability = %(capability)s AND open AND epoch = %(epoch)s GROUP BY t ORDER BY t
"""


@dataclass(frozen=True, slots=True)
class State:
    """What the ledger says of a side: nothing is touched on a side whose own row says otherwise.

    Once it has ``ended`` no stream comes or goes, and TRUNCATE is allowed.
    """

    capability: str
    opened: bool
    epoch: int
    ended: bool = False


def mend(connection: Connection, state: State, marks: Sequence[str], tables: Sequence[Table]) -> list[str]:
    """Turns the fences of the tables that ``marks`` name; returns what was done.

    A table that could not be locked within a few tries stays as it is, and is tried again later.
    """
    done = []
    for mark in marks:
        gone = connection.execute(FORGET, {"capability": state.capability, "table": mark}).rowcount == 1
        if gone:
            done.append(f"forgot {mark}, which is gone,")
    wrong = [table for table in tables if table.qualified in marks]
    if wrong and _tried(connection, partial(_turn, connection, state, wrong)):
        done.append(f"turned the fences of {', '.join(table.qualified for table in wrong)} right")
    return done


def firing(connection: Connection, state: State) -> dict[str, list[str]]:
    """The fences of an open side that refuse its own writes, by table; none if no move has begun."""
    if not state.opened or scalar(connection, PRESENT) is None:
        return {}
    refusing = names.REFUSING if state.ended else names.REFUSING[:1]
    values = {"capability": state.capability, "epoch": state.epoch, "functions": list(refusing)}
    return dict(connection.execute(FIRING, values).fetchall())


def relieve(connection: Connection, state: State) -> list[str]:
    """Keeps them from refusing; returns what was done. It needs no coordinator: the side's row alone decides."""
    found = firing(connection, state)
    return [
        f"turned the fences of {table} right"
        for table in found
        if _tried(connection, partial(_off, connection, state, table))
    ]


def _off(connection: Connection, state: State, table: str) -> bool:
    connection.execute(sql.SQL("LOCK TABLE ONLY {} IN SHARE ROW EXCLUSIVE MODE").format(sql.SQL(table)))
    if not _is(connection, state):
        return False
    for name in firing(connection, state).get(table, []):
        how = "ENABLE REPLICA" if name in REPLICA and not state.ended else "DISABLE"
        connection.execute(
            sql.SQL("ALTER TABLE {} {} TRIGGER {}").format(sql.SQL(table), sql.SQL(how), sql.Identifier(name))
        )
    return True


def _is(connection: Connection, state: State) -> bool:
    return bool(scalar(connection, STATE, state.capability, state.opened, state.epoch, state.epoch))


def _tried(connection: Connection, turn: Callable[[], bool]) -> bool:
    statement_ms = locks.attempt_ms(connection)
    for number in range(TRIES):
        if number:
            locks.pause(statement_ms)
        with suppress(*locks.NOT_FREE), locks.attempt(connection, statement_ms):
            return turn()
    return False


def _turn(connection: Connection, state: State, tables: Sequence[Table]) -> bool:
    queued = deletions.noted(connection, state.capability)
    locks.bring(connection)
    locks.lock(connection, _with_partitions(connection, tables, queued), "SHARE ROW EXCLUSIVE")
    if not _is(connection, state):
        return False
    for table in tables:
        # Made anew, not only enabled: so a fence that is missing or was replaced is right again, too.
        fences.create(connection, table, state.capability)
        connection.execute("SELECT strangler.turn_fence(%s, %s)", (table.qualified, state.opened))
        _turn_others(connection, table)
        if table.qualified in queued:
            deletions.queue(connection, state.capability, table, queued[table.qualified])
    return True


def _with_partitions(connection: Connection, tables: Sequence[Table], queued: Collection[str]) -> list[str]:
    """A table's trigger for the queue also stands on its partitions."""
    names = [table.qualified for table in tables]
    below = connection.execute(PARTITIONS, ([name for name in names if name in queued],)).fetchall()
    return list(dict.fromkeys([*names, *(name for (name,) in below)]))


def _turn_others(connection: Connection, table: Table) -> None:
    """Turns the queue of deletions right, and disables triggers beyond those expected: a drop would wait for every
    reader."""
    present = connection.execute(OURS, (table.oid,)).fetchall()
    queues = [name for name, _, _ in present if name.startswith(names.ORPHAN)]
    renamed = None if queues else next((name for name, called, _ in present if called == names.QUEUEING), None)
    if renamed is not None:
        connection.execute(
            sql.SQL("ALTER TRIGGER {} ON {} RENAME TO {}").format(
                sql.Identifier(renamed), table.sql(), sql.Identifier(names.ORPHAN)
            )
        )
        present, queues = connection.execute(OURS, (table.oid,)).fetchall(), [names.ORPHAN]
    due = set(names.TRIGGERS) - ({names.REPLICA_FENCE} if table.partitioned else set())
    for name, function, letter in present:
        if name not in queues and (name in due or function not in names.FENCING):
            continue
        how, wanted = ("ENABLE REPLICA", "R") if name in queues else ("DISABLE", "D")
        if letter != wanted:
            connection.execute(
                sql.SQL("ALTER TABLE {} {} TRIGGER {}").format(table.sql(), sql.SQL(how), sql.Identifier(name))
            )
