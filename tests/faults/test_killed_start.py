"""A ``strangler start`` that is killed, or stands still, at each of its boundaries; and the next one."""

from __future__ import annotations

import pytest

from tests.faults.coordinator import stopped_start
from tests.faults.shop import MONOLITH, Shop
from tests.waiting import eventually

STEPS = ("fence copy", "copy rows", "stream forward", "stream back")
BOUNDARIES = ("before:fence copy", *(f"after:{step}" for step in STEPS))


@pytest.mark.parametrize("at", BOUNDARIES)
def test_a_start_that_was_killed_can_be_run_again(shop: Shop, at: str) -> None:
    shop.owned_by(MONOLITH)
    shop.stack.run("cancel", "users", "--yes")
    assert shop.doctor() == []

    with shop.writers() as traffic:
        shop.stack.run("start", "users", code=-9, STRANGLER_KILL_AT=at)
        traffic.get_through()
        started = shop.stack.json("start", "users")
        verified = shop.stack.json("verify", "users")

    assert started["rows"] > 0
    assert verified["differing"] == 0
    assert traffic.failures == []
    traffic.check(shop.session(MONOLITH))


def test_a_start_that_was_killed_can_be_cancelled(shop: Shop) -> None:
    shop.owned_by(MONOLITH)
    shop.stack.run("cancel", "users", "--yes")

    with shop.writers() as traffic:
        shop.stack.run("start", "users", code=-9, STRANGLER_KILL_AT="after:copy rows")
        shop.stack.run("cancel", "users", "--yes")
        assert shop.doctor() == []
        traffic.get_through()

    assert traffic.failures == []
    traffic.check(shop.session(MONOLITH))
    shop.stack.run("start", "users")


@pytest.mark.parametrize("at", ["after:copy rows", "after:stream forward"])
def test_a_start_that_stood_still_leaves_the_next_one_alone_when_it_wakes(shop: Shop, at: str) -> None:
    shop.owned_by(MONOLITH)
    shop.stack.run("cancel", "users", "--yes")

    with shop.writers() as traffic, stopped_start(shop, at) as sleeper:
        # It keeps its right to act for a while, and the next one is refused as long.
        eventually(lambda: shop.stack.spawn("start", "users").wait() == 0, "the next start is done")
        code = sleeper.go_on()
        verified = shop.stack.json("verify", "users")

    assert code != 0
    assert verified["differing"] == 0
    assert traffic.failures == []
    traffic.check(shop.session(MONOLITH))
