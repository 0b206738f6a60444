"""``kill -9`` of a switch at each of its boundaries: nobody types anything, and the shop goes on."""

from __future__ import annotations

import pytest

from tests.faults.shop import FROM, TOWARDS, Shop

STEPS = (
    "announce",
    "fence owner",
    "drain stream",
    "prepare owner",
    "begin opening",
    "take ownership",
    "open owner",
    "release requests",
    "flip routes",
    "release events",
)
POINT_OF_NO_RETURN = STEPS.index("take ownership")
REVOCABLE = ("before:announce", *(f"after:{step}" for step in STEPS[:POINT_OF_NO_RETURN]))
FORWARD_ONLY = tuple(f"after:{step}" for step in STEPS[POINT_OF_NO_RETURN:])


# In an order that needs no moves between: what ends as before comes first.
ONCE = (
    *(("switch", at) for at in REVOCABLE),
    ("switch", FORWARD_ONLY[0]),
    *(("reverse", at) for at in REVOCABLE),
    ("reverse", FORWARD_ONLY[0]),
    *((verb, at) for at in FORWARD_ONLY[1:] for verb in TOWARDS),
)


def test_the_steps_are_those_that_the_tests_know(shop: Shop) -> None:
    planned = shop.stack.json("switch", "users", "--dry-run")

    assert tuple(planned["steps"]) == STEPS


@pytest.mark.parametrize(("verb", "at"), ONCE)
def test_the_shop_goes_on_when_a_coordinator_is_killed(shop: Shop, verb: str, at: str) -> None:
    _kill(shop, verb, at, writers=3)


@pytest.mark.soak
@pytest.mark.parametrize("round_", range(3))
@pytest.mark.parametrize("at", [f"{when}:{step}" for step in STEPS for when in ("before", "after")])
@pytest.mark.parametrize("verb", TOWARDS)
def test_the_shop_goes_on_under_heavy_traffic(shop: Shop, verb: str, at: str, round_: int) -> None:
    _kill(shop, verb, at, writers=12)


def _kill(shop: Shop, verb: str, at: str, *, writers: int) -> None:
    shop.owned_by(FROM[verb])

    with shop.writers(writers) as traffic:
        shop.stack.run(verb, "users", "--yes", code=-9, STRANGLER_KILL_AT=at)
        move = shop.at_rest()

    assert traffic.failures == []
    assert move.owner == (TOWARDS if _is_taken(at) else FROM)[verb]
    traffic.check(shop.session(move.owner))


def _is_taken(at: str) -> bool:
    """Whether the ledger names the new owner at this boundary."""
    when, step = at.split(":")
    reached = STEPS.index(step) + (when == "after")
    return reached > POINT_OF_NO_RETURN
