"""A coordinator that stands still in the middle and wakes later: there are never two owners."""

from __future__ import annotations

import pytest

from tests.faults.coordinator import stopped
from tests.faults.shop import FROM, TOWARDS, Shop
from tests.faults.watch import Watch

UNWOUND = ("after:fence owner", "after:begin opening")
FINISHED = "after:take ownership"


@pytest.mark.parametrize("verb", TOWARDS)
@pytest.mark.parametrize("at", [*UNWOUND, FINISHED])
def test_the_shop_does_not_wait_for_a_coordinator_that_stands_still(shop: Shop, verb: str, at: str) -> None:
    shop.owned_by(FROM[verb])

    with shop.writers() as traffic, Watch(shop) as watch, stopped(shop, verb, at) as coordinator:
        recovered = shop.at_rest()
        traffic.get_through()
        code = coordinator.go_on()
        traffic.get_through()
        after = shop.at_rest()

    assert traffic.failures == []
    assert watch.looks > 0
    assert watch.both_open == []
    assert after == recovered
    if at in UNWOUND:
        assert after.owner == FROM[verb]
        assert code == 1, coordinator.output
    else:
        assert after.owner == TOWARDS[verb]
    traffic.check(shop.session(after.owner))
