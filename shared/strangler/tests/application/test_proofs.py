from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from moves import NAME, moving, parts_of
from strangler.application.verify import Verified, verify
from strangler.domain.errors import RefusedError
from strangler.domain.phase import State
from strangler.testing import World


def run(world: World, *differing: str, repair: bool = False) -> tuple[Verified, list[str]]:
    parts = parts_of(world)
    parts.replication.differing.extend(differing)
    done = verify(parts, repair=repair, progress=lambda *_: None)
    return done, parts.replication.calls


def test_what_was_proved_is_kept_in_the_ledger() -> None:
    world = moving()

    done, calls = run(world)

    facts = world.moves[NAME].facts
    assert (done.verified_rows, done.differing, done.repaired, done.differences) == (3, 0, 0, [])
    assert (facts["verified_rows"], facts["differing"], facts["errors"]) == (3, 0, {"forward": 0, "reverse": 0})
    assert datetime.fromisoformat(facts["verified_at"]) <= datetime.now(UTC)
    assert calls == ["install", "verify"]
    assert world.history[-1] == (NAME, "verified", None)


def test_what_differs_is_told_and_kept() -> None:
    world = moving()

    done, _ = run(world, "crate (1): differs in x", "crate (2): missing in the copy")

    assert (done.differing, done.repaired) == (2, 0)
    assert done.differences == ["crate (1): differs in x", "crate (2): missing in the copy"]
    assert world.moves[NAME].facts["differing"] == 2


def test_what_was_mended_is_proved_again() -> None:
    world = moving()

    done, calls = run(world, "crate (1): differs in x", repair=True)

    assert (done.differing, done.repaired, done.differences) == (0, 1, ["crate (1): differs in x"])
    assert calls == ["install", "repair", "verify"]
    assert world.moves[NAME].facts["differing"] == 0


def test_nothing_is_mended_where_nothing_differs() -> None:
    assert run(moving(), repair=True)[1] == ["install", "repair"]


def test_an_interrupted_switch_is_put_right_first() -> None:
    world = moving()
    world.moves[NAME] = replace(world.moves[NAME], state=State.SWITCHING, intent="switch")

    run(world)

    assert (world.moves[NAME].state, world.moves[NAME].epoch) == (State.MOVING, 3)


@pytest.mark.parametrize("state", [None, State.STARTING, State.CANCELLING])
def test_without_a_copy_there_is_nothing_to_verify(state: State | None) -> None:
    world = moving()
    if state is None:
        world.moves.clear()
    else:
        world.moves[NAME] = replace(world.moves[NAME], state=state)

    with pytest.raises(RefusedError, match="there is no copy to verify") as caught:
        run(world)

    assert "{" not in caught.value.remedy
    assert world.locks == {}


def test_columns_that_differ_are_told_before_rows_are_read() -> None:
    world = moving()
    parts = parts_of(world)
    parts.replication.drifted.append("crate.x is on one side only")

    with pytest.raises(RefusedError, match=r"crate\.x is on one side only"):
        verify(parts, repair=False, progress=lambda *_: None)

    assert parts.replication.calls == []


def test_a_dropped_copy_is_not_verified() -> None:
    world = moving()
    world.moves[NAME] = replace(world.moves[NAME], state=State.COMPLETED)
    parts = parts_of(world)
    parts.replication.is_dropped = True

    with pytest.raises(RefusedError, match="there is no copy to verify"):
        verify(parts, repair=False, progress=lambda *_: None)
