"""Writers who come to the tables in any order: who locks several tables lets them pass at once, and no try fails."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from servers import Connection, eventually
from strangler.adapters.postgres.tables import locks
from strangler.application.ending import complete
from yard import WAITING, Yard, patrolled, refused

# Parent before child, as who makes them; child before parent, as who deletes them; and tables that nothing ties.
ORDERS = [
    ('"Crate"', 'bays."Bay slot"'),
    ("ticket", '"Crate"'),
    ("visit", "reading"),
    ("reading", 'bays."Bay slot"'),
]

LONG_MS = 30_000  # for one try: the servers would find a deadlock long before


def changed(table: str) -> str:
    """A statement that changes every row of a table, and nothing in it."""
    column = {'"Crate"': "weight", 'bays."Bay slot"': "note", "reading": "value", "ticket": "number", "visit": "code"}
    return f"UPDATE {table} SET {column[table]} = {column[table]}"


@contextmanager
def crossing(
    writer: Connection, watcher: Connection, order: tuple[str, str], statement: Callable[[str], str]
) -> Iterator[None]:
    """A transaction that has the first table, and comes to the second as soon as somebody waits for it."""
    writer.execute("BEGIN")
    writer.execute(statement(order[0]).encode())
    failed: list[BaseException] = []

    def go_on() -> None:
        try:
            eventually(lambda: watcher.execute(WAITING).fetchone() is not None)
            writer.execute(statement(order[1]).encode())
            writer.execute("COMMIT")
        except BaseException as error:  # noqa: BLE001  raised below
            failed.append(error)
            writer.execute("ROLLBACK")

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    assert failed == []


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """A try that fails is followed by a pause."""

    def fail(_: int) -> None:
        pytest.fail("a try to lock the tables failed")

    monkeypatch.setattr(locks, "pause", fail)
    monkeypatch.setattr(locks, "attempt_ms", lambda _: LONG_MS)


def test_a_fence_takes_one_try_whatever_the_order_of_the_writers(moving: Yard) -> None:
    with moving.monolith() as writer, moving.monolith() as watcher, moving.working() as parts:
        side, epoch = parts.monolith, 1
        for order in ORDERS:
            with crossing(writer, watcher, order, changed):
                side.fence(expected=epoch, target=epoch + 1, statement_ms=LONG_MS)

            assert refused(writer, f"DELETE FROM {order[1]}") == "SF001"
            epoch += 2
            side.reopen(target=epoch)


def test_an_opening_takes_one_try_whatever_the_order_in_which_others_hold_its_tables(moving: Yard) -> None:
    """As an index that is made there, or a vacuum, or the stream of another capability."""

    def share(table: str) -> str:
        return f"LOCK TABLE ONLY {table} IN SHARE MODE"

    with moving.service() as writer, moving.service() as watcher, moving.working() as parts:
        side = parts.service
        for order in ORDERS:
            with crossing(writer, watcher, order, share):
                side.begin_opening(target=2, statement_ms=LONG_MS)
            side.drop_opening()


@pytest.mark.parametrize("order", ORDERS[:2])
def test_a_move_begins_and_ends_with_one_try_whatever_the_order_of_the_others(
    ground: Yard, order: tuple[str, str], no_pause: None
) -> None:
    def read(table: str) -> str:
        return f"SELECT count(*) FROM {table}"

    with ground.monolith() as other, ground.monolith() as watcher:
        with crossing(other, watcher, order, changed):
            ground.start()
        with ground.working() as parts, crossing(other, watcher, order, read):
            parts.replication.remove()


def test_fences_are_turned_right_whatever_the_order_of_the_writers(moving: Yard, no_pause: None) -> None:
    with moving.monolith() as owner:
        for table in ('"Crate"', "reading"):
            owner.execute(f"ALTER TABLE {table} DISABLE TRIGGER strangler_replica_truncate".encode())
    order = ("reading", '"Crate"')
    with moving.monolith() as writer, moving.monolith() as watcher, crossing(writer, watcher, order, changed):
        told = patrolled(moving)

    assert [line for line in told if "right" in line] != []


def test_tables_come_after_what_they_refer_to_and_partitions_after_their_table(moving: Yard) -> None:
    with moving.monolith() as connection:
        row = connection.execute(
            "SELECT strangler.lock_order(tables) FROM strangler.side WHERE capability = 'crates'"
        ).fetchone()

        connection.execute(
            'ALTER TABLE "Crate" ADD latest integer REFERENCES ticket, ADD outside uuid REFERENCES "Crate"'
        )
        circle = connection.execute("SELECT strangler.lock_order(ARRAY['ticket', 'visit', '\"Crate\"'])").fetchone()

    assert circle is not None
    assert sorted(circle[0]) == ['"Crate"', "ticket", "visit"]
    assert row is not None
    order = row[0]
    for above, below in [
        ('public."Crate"', 'bays."Bay slot"'),
        ('public."Crate"', "public.ticket"),
        ("public.reading", "public.reading_old"),
        ("public.reading", 'bays."reading 2024"'),
    ]:
        assert order.index(above) < order.index(below)


def test_a_drop_holds_up_nobody_at_the_tables_that_stay(moving: Yard) -> None:
    """With a foreign key goes a trigger of the table that it points at: everybody there queues behind who drops it."""
    moving.switch()
    with moving.monolith() as holder, moving.monolith() as client:
        holder.execute('ALTER TABLE audit."Entry" DROP CONSTRAINT "Entry_crate_fkey"')
        holder.execute("ALTER TABLE visit ADD FOREIGN KEY (code) REFERENCES yard_setting NOT VALID")
        holder.execute("BEGIN")
        holder.execute("SELECT FROM yard_setting")
        with moving.working() as parts, ThreadPoolExecutor(1) as aside:
            dropping = aside.submit(complete, parts, drop=True, unused_for=0, unread_for=0)
            eventually(lambda: client.execute(WAITING).fetchone() is not None or dropping.done())
            # Longer than a client would wait, and far shorter than the tool waits for the holder.
            client.execute("SET statement_timeout = '20s'")
            try:
                client.execute("SELECT FROM yard_setting")
            finally:
                holder.execute("COMMIT")
            assert dropping.result() == []
