"""``verify --repair`` while the owner writes the very rows that are mended."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from tests.faults.customers import Customer
from tests.faults.shop import FROM, OTHER, Shop
from tests.waiting import eventually

ORIGIN = "somebody_by_hand"
ROUNDS = 3
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND %s IN (application_name, pid::text)"


@contextmanager
def by_hand(shop: Shop, side: str) -> Iterator[psycopg.Connection[Any]]:
    """A session past both fences, whose writes no stream carries on: how a copy is spoilt."""
    with shop.stack.database(shop.database_of(side)) as session:
        session.execute("SET session_replication_role = replica")
        session.execute("SELECT pg_replication_origin_create(%s)", (ORIGIN,))
        session.execute("SELECT pg_replication_origin_session_setup(%s)", (ORIGIN,))
        try:
            yield session
        finally:
            session.execute("SELECT pg_replication_origin_session_reset()")
            session.execute("SELECT pg_replication_origin_drop(%s)", (ORIGIN,))


class Hammer:
    """Counts up the name of each row in the owner's database, without a pause, until the block ends."""

    def __init__(self, shop: Shop, ids: list[int]) -> None:
        self.ids = ids
        self.count = 0
        self._session = shop.stack.database(shop.database_of(shop.owner()))
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._strike)

    def __enter__(self) -> Hammer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._session.close()

    def _strike(self) -> None:
        while not self._over.is_set():
            for each in self.ids:
                self._session.execute("UPDATE users_user SET full_name = %s WHERE id = %s", (str(self.count), each))
            self.count += 1


@pytest.fixture
def ids(shop: Shop) -> list[int]:
    found = []
    with shop.client() as client:
        for number in range(3):
            customer = Customer(client).register()
            customer.add_address(f"{number} Repair Street")
            found.append(customer.id)
    return found


@pytest.mark.parametrize("verb", FROM)
def test_no_older_value_wins_over_what_the_owner_writes_meanwhile(shop: Shop, ids: list[int], verb: str) -> None:
    shop.owned_by(FROM[verb])
    copy = OTHER[FROM[verb]]

    with by_hand(shop, copy) as spoiler, Hammer(shop, ids) as hammer:
        for _ in range(ROUNDS):
            # An update of a row that is missing is skipped by the stream: only the repair brings it back.
            spoiler.execute("DELETE FROM users_user WHERE id = ANY (%s)", (ids,))
            before = hammer.count
            eventually(lambda before=before: hammer.count > before + 3, "the owner goes on writing")
            repaired = shop.stack.json("verify", "users", "--repair")
            assert repaired["differing"] == 0
            assert repaired["repaired"] >= len(ids)

    last = {shop.ask(FROM[verb], "SELECT full_name FROM users_user WHERE id = %s", each) for each in ids}
    assert last == {str(hammer.count - 1)}


@pytest.mark.parametrize("verb", FROM)
def test_a_row_cannot_change_between_being_read_and_being_mended(shop: Shop, ids: list[int], verb: str) -> None:
    owner, copy = FROM[verb], OTHER[FROM[verb]]
    shop.owned_by(owner)
    row = shop.ask(owner, "SELECT to_jsonb(u)::text FROM users_user u WHERE id = %s", ids[0])

    with (
        by_hand(shop, copy) as spoiler,
        shop.stack.database(shop.database_of(owner)) as writer,
        ThreadPoolExecutor(2) as pool,
    ):
        eventually(lambda: shop.ask(copy, "SELECT id FROM users_user WHERE id = %s", ids[0]), "the row has arrived")
        spoiler.execute("DELETE FROM users_user WHERE id = %s", (ids[0],))
        with spoiler.transaction(force_rollback=True):
            # Not committed, it lets the repair wait between reading the owner's row and mending the copy's.
            spoiler.execute("INSERT INTO users_user SELECT * FROM jsonb_populate_record(NULL::users_user, %s)", (row,))
            mending = pool.submit(shop.stack.json, "verify", "users", "--repair")
            eventually(lambda: shop.ask(copy, WAITING, "strangler repair users"), "the repair waits")
            writing = pool.submit(writer.execute, "UPDATE users_user SET full_name = 'New' WHERE id = %s", (ids[0],))
            writer_pid = str(writer.info.backend_pid)
            eventually(lambda: shop.ask(owner, WAITING, writer_pid), "the owner's write waits for the repair")
        assert mending.result()["differing"] == 0
        writing.result()

    assert shop.ask(owner, "SELECT full_name FROM users_user WHERE id = %s", ids[0]) == "New"


def test_every_kind_of_difference_is_named_and_mended(shop: Shop, ids: list[int]) -> None:
    with by_hand(shop, OTHER[shop.owner()]) as spoiler:
        eventually(
            lambda: spoiler.execute("SELECT count(*) FROM users_user WHERE id = ANY (%s)", (ids,)).fetchone() == (3,),
            "the rows have arrived",
        )
        spoiler.execute("UPDATE users_user SET full_name = 'Nobody' WHERE id = %s", (ids[0],))
        spoiler.execute("DELETE FROM users_user WHERE id = %s", (ids[1],))
        spoiler.execute(
            "INSERT INTO users_address (id, user_id, line1, line2, city, postal_code, country, created_at) "
            "VALUES (-1, %s, 'nowhere', '', '', '', 'US', now())",
            (ids[2],),
        )

    found = shop.stack.run("verify", "users", code=1)
    mended = shop.stack.json("verify", "users", "--repair")

    assert f"users_user ({ids[0]}): differs in full_name" in found.stdout
    assert f"users_user ({ids[1]}): missing in the copy" in found.stdout
    assert "users_address (-1): only in the copy" in found.stdout
    assert (mended["repaired"], mended["differing"]) == (3, 0)
