"""Orders stay in the monolith while users live in the service: what they read of users arrives by a stream."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from tests.faults.shop import MONOLITH, SERVICE, Shop
from tests.waiting import eventually

LAG_SECONDS = 2.0
ARRIVED = "SELECT count(*) FROM users_user WHERE id = %s"
ORPHANS = "SELECT count(*) FROM strangler.orphan"
APPLYING = "SELECT count(pid) FROM pg_stat_subscription WHERE subname = 'strangler_users_users_reverse'"


@pytest.fixture
def moved(shop: Shop) -> Shop:
    """The shop with its users in the service."""
    shop.owned_by(SERVICE)
    return shop


@contextmanager
def slowed(shop: Shop) -> Iterator[None]:
    """Nothing arrives from the service before the block ends."""
    monolith = shop.session(MONOLITH)
    monolith.execute("ALTER SUBSCRIPTION strangler_users_users_reverse DISABLE")
    try:
        # The apply worker is told to end; until it has, rows still come.
        eventually(lambda: shop.ask(MONOLITH, APPLYING) == 0, "the apply worker has ended")
        yield
    finally:
        monolith.execute("ALTER SUBSCRIPTION strangler_users_users_reverse ENABLE")


def test_who_registered_a_moment_ago_can_order_at_once(moved: Shop) -> None:
    with ThreadPoolExecutor(1) as pool, moved.client() as client:
        with slowed(moved), moved.customer() as customer:
            customer.client = client
            assert moved.ask(MONOLITH, ARRIVED, customer.id) == 0
            ordered = pool.submit(customer.order, moved.some_product())
            with pytest.raises(TimeoutError):
                ordered.exception(timeout=LAG_SECONDS)
        order = ordered.result()

    assert order["status"] == "confirmed"
    assert moved.ask(MONOLITH, "SELECT user_id FROM orders_order WHERE id = %s", order["id"]) == customer.id


def test_many_who_register_and_order_at_once_are_all_served(moved: Shop) -> None:
    product = moved.some_product()

    def shop_once(_: int) -> str:
        with moved.customer() as customer:
            customer.add_address("1 Haste Street")
            status: str = customer.order(product)["status"]
            return status

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(shop_once, range(60)))

    assert outcomes == ["confirmed"] * 60


def test_who_has_left_is_unknown_as_soon_as_the_deletion_has_arrived(moved: Shop) -> None:
    with moved.customer() as customer:
        eventually(lambda: moved.ask(MONOLITH, ARRIVED, customer.id) == 1, "the account has arrived")
        customer.leave()
        eventually(lambda: moved.ask(MONOLITH, ARRIVED, customer.id) == 0, "the deletion has arrived")
        answer = customer.client.get("/api/v1/orders", headers=customer.headers)

    assert answer.status_code == 401


def test_what_a_deleted_user_leaves_in_the_monolith_is_what_a_deletion_there_would_leave(moved: Shop) -> None:
    eventually(lambda: not moved.ask(MONOLITH, ORPHANS), "all that earlier tests have deleted is swept")
    swept = moved.stack.status("users")["orphans"]["swept"]
    with moved.customer() as customer:
        order = customer.order(moved.some_product(), payment_token="tok_sandbox", save_payment_method=True)
        assert _payment_methods(moved, customer.id) == 1

        customer.leave()

    eventually(lambda: _payment_methods(moved, customer.id) == 0, "the payment method is gone")
    assert moved.ask(MONOLITH, "SELECT user_id IS NULL FROM orders_order WHERE id = %s", order["id"]) is True
    assert moved.ask(MONOLITH, "SELECT count(*) FROM orders_line WHERE order_id = %s", order["id"]) == 1
    # The message that tells of the deletion does the same, and may have been first.
    eventually(lambda: moved.stack.status("users")["orphans"]["swept"] == swept + 1, "the clean-up is counted")


def test_a_clean_up_that_fails_is_counted_and_tried_again(moved: Shop) -> None:
    with moved.customer() as customer:
        customer.order(moved.some_product(), payment_token="tok_sandbox", save_payment_method=True)
        with refusing(moved, customer.id):
            customer.leave()
            eventually(
                lambda: moved.ask(MONOLITH, "SELECT count(*) FROM strangler.orphan WHERE attempts > 0"), "one failure"
            )
            counted = moved.stack.status("users")["orphans"]
        eventually(lambda: _payment_methods(moved, customer.id) == 0, "the payment method is gone")
        eventually(lambda: not moved.ask(MONOLITH, ORPHANS), "nothing is left to do")

    assert counted["failing"] == 1


@contextmanager
def refusing(shop: Shop, user: int) -> Iterator[None]:
    """Deletions of this user's payment methods fail."""
    monolith = shop.session(MONOLITH)
    monolith.execute(
        "CREATE FUNCTION refuse_deletion() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'not now'; END $$"
    )
    monolith.execute(
        f"CREATE TRIGGER refuse_deletion BEFORE DELETE ON orders_paymentmethod FOR EACH ROW "
        f"WHEN (OLD.user_id = {user}) EXECUTE FUNCTION refuse_deletion()"
    )
    try:
        yield
    finally:
        monolith.execute("DROP FUNCTION refuse_deletion() CASCADE")


def _payment_methods(shop: Shop, user: int) -> int:
    count: int = shop.ask(MONOLITH, "SELECT count(*) FROM orders_paymentmethod WHERE user_id = %s", user)
    return count
