"""A customer shops in one session while everything leaves the monolith, and notices nothing."""

from __future__ import annotations

import subprocess

from tests.browser.shopper import Shopper
from tests.stack import VERB_SECONDS, Stack

CAPABILITIES = ("users", "products", "orders")


def test_one_session_goes_through_all_three_moves_and_outlives_the_monolith(stack: Stack, shopper: Shopper) -> None:
    shopper.register()
    shopper.buy()
    shopper.is_confirmed()
    before = shopper.visit.sides()
    assert set(before.values()) == {"monolith"}, before

    for capability in CAPABILITIES:
        stack.run("start", capability)
        stack.run("verify", capability)
        _shop_during(stack.spawn("switch", capability, "--yes"), shopper)
        assert stack.status(capability)["owner"] == "service"
        shopper.buy()
        shopper.is_confirmed()

    for capability in CAPABILITIES:
        stack.run("complete", capability, "--yes")
    stack.run("retire", "--yes")
    last = shopper.buy()
    shopper.is_confirmed()

    assert shopper.history() == shopper.ordered[::-1]
    assert shopper.visit.sides() == {"orders": "service"}
    shopper.visit.go(f"/orders/{last}")
    shopper.page.get_by_text("Cancel this order").click()
    shopper.visit.press("Yes, cancel it")
    shopper.page.locator("#order .status", has_text="cancelled").wait_for()
    assert shopper.visit.complaints == []
    assert shopper.visit.elsewhere == []


def _shop_during(switch: subprocess.Popen[str], shopper: Shopper) -> None:
    """Buys without a pause until the command has ended; at least once."""
    try:
        while True:
            shopper.buy()
            if switch.poll() is not None:
                break
        assert switch.wait(VERB_SECONDS) == 0, switch.stdout.read() if switch.stdout else ""
    finally:
        if switch.poll() is None:
            switch.kill()
        switch.communicate()
