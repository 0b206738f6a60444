"""A transaction left open on a moved table: the switch gives up in its budget, and names it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from tests.faults.coordinator import stopped
from tests.faults.shop import FROM, TOWARDS, Shop
from tests.waiting import eventually

AGE = "SELECT extract(epoch FROM clock_timestamp() - xact_start)::float8 FROM pg_stat_activity WHERE pid = %s"


@contextmanager
def left_open(session: psycopg.Connection[Any]) -> Iterator[int]:
    """Somebody's transaction that has written a row and does not end; the pid of its session."""
    session.execute("BEGIN")
    session.execute("UPDATE users_user SET full_name = full_name WHERE email = 'household-1@example.com'")
    yield session.info.backend_pid
    session.execute("ROLLBACK")


@pytest.mark.parametrize("verb", TOWARDS)
def test_a_switch_does_not_begin_while_a_transaction_is_open_for_long(shop: Shop, verb: str) -> None:
    shop.owned_by(FROM[verb])
    before = shop.at_rest()

    with (
        shop.writers() as traffic,
        shop.stack.database(shop.database_of(FROM[verb])) as session,
        left_open(session) as pid,
    ):
        eventually(lambda: shop.ask(FROM[verb], AGE, pid) > 1.5, "the transaction is old enough to be noticed")
        refused = shop.stack.run(verb, "users", "--yes", "--timeout", "1s", code=2)

    assert f"held by pid {pid}" in refused.stderr
    assert shop.at_rest() == before
    assert traffic.failures == []
    traffic.check(shop.session(before.owner))


@pytest.mark.parametrize("verb", TOWARDS)
def test_a_switch_gives_up_when_a_transaction_does_not_end(shop: Shop, verb: str) -> None:
    shop.owned_by(FROM[verb])
    before = shop.at_rest()

    with (
        shop.writers() as traffic,
        # Connected before: a coordinator that stands still for seconds is given up.
        shop.stack.database(shop.database_of(FROM[verb])) as session,
        stopped(shop, verb, "after:announce", "--timeout", "4s") as coordinator,
        left_open(session) as pid,
    ):
        code = coordinator.go_on()
        traffic.get_through()

    assert code == 1, coordinator.output
    assert f"held by pid {pid}" in coordinator.output
    after = shop.at_rest()
    assert after.owner == before.owner
    assert traffic.failures == []
    traffic.check(shop.session(after.owner))
