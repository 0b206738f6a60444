"""A stream that is behind at the moment of the switch: nothing that was acknowledged stays behind."""

from __future__ import annotations

import subprocess

import pytest

from tests.faults.coordinator import stopped
from tests.faults.shop import FROM, OTHER, TOWARDS, Shop
from tests.waiting import eventually

LAG_SECONDS = 1.0
ROW = "SELECT 1 FROM users_user WHERE id = %s FOR UPDATE"
NAME = "SELECT full_name FROM users_user WHERE id = %s"


@pytest.mark.parametrize("verb", TOWARDS)
def test_the_new_owner_opens_only_when_all_has_arrived(shop: Shop, verb: str) -> None:
    old, new = FROM[verb], OTHER[FROM[verb]]
    shop.owned_by(old)

    with shop.customer() as customer, shop.stack.database(shop.database_of(new)) as obstacle:
        eventually(lambda: shop.ask(new, NAME, customer.id), "the account has arrived")
        with stopped(shop, verb, "after:announce") as coordinator:
            with obstacle.transaction():
                obstacle.execute(ROW, (customer.id,))
                customer.rename("Ada Late")
                coordinator.wake()
                eventually(lambda: shop.is_open(old) is False, f"the {old} is fenced")
                with pytest.raises(subprocess.TimeoutExpired):
                    coordinator.process.wait(LAG_SECONDS)
                early = shop.is_open(new), shop.ask(new, NAME, customer.id)
            code = coordinator.finish()

    assert early == (False, "Ada Example")
    assert code == 0, coordinator.output
    assert shop.ask(new, NAME, customer.id) == "Ada Late"
