"""``kill -9`` of ``strangler serve`` while it recovers: the next one begins where it stopped."""

from __future__ import annotations

import os
import signal

from tests.faults.coordinator import stopped
from tests.faults.shop import MONOLITH, SERVICE, Shop
from tests.waiting import eventually

WAITING = """
SELECT count(*) FROM pg_stat_activity
WHERE application_name = 'strangler coordinate users' AND wait_event_type = 'Lock'
"""


def test_an_unwinding_is_finished_by_the_next_process(shop: Shop) -> None:
    shop.owned_by(MONOLITH)

    with shop.writers() as traffic:
        _kill_both(shop, "after:fence owner", stuck_at=MONOLITH)
        move = shop.at_rest()

    assert move.owner == MONOLITH
    assert all("changing hands" in failure for failure in traffic.failures)
    traffic.check(shop.session(MONOLITH))


def test_a_settling_is_finished_by_the_next_process(shop: Shop) -> None:
    shop.owned_by(MONOLITH)

    with shop.writers() as traffic:
        _kill_both(shop, "after:take ownership", stuck_at=SERVICE)
        move = shop.at_rest()

    assert move.owner == SERVICE
    assert all("changing hands" in failure for failure in traffic.failures)
    traffic.check(shop.session(SERVICE))


def _kill_both(shop: Shop, at: str, *, stuck_at: str) -> None:
    """Kills the coordinator, and then the recovery while it waits for a lock that this test holds."""
    serve = shop.stack.pid("serve")
    with (
        # Connected before: a coordinator that stands still for seconds is given up, and recovered from.
        shop.stack.database(shop.database_of(stuck_at)) as obstacle,
        stopped(shop, "switch", at) as coordinator,
        obstacle.transaction(),
    ):
        obstacle.execute("LOCK TABLE users_address IN ROW EXCLUSIVE MODE")
        coordinator.kill()
        eventually(lambda: shop.ask(stuck_at, WAITING), "recovery waits for the lock")
        os.kill(serve, signal.SIGKILL)
        eventually(lambda: shop.stack.environment()["processes"].get("serve") not in {None, serve}, "a new serve")
