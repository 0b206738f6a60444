from __future__ import annotations

import itertools

import pytest
from moves import NAME, Coordinator, at_rest, moving, parts_of, run_switch, verified
from strangler.application.sides import Parts
from strangler.application.start import STEPS, start
from strangler.domain.errors import MoveError, PreflightError, RefusedError
from strangler.domain.phase import State
from strangler.domain.project import MONOLITH, SERVICE
from strangler.testing import World

BOUNDARIES = [f"{moment}:{step.name}" for step in STEPS for moment in ("before", "after")]


def ground() -> World:
    """A monolith that has rows, before any move."""
    world = World()
    for _ in range(3):
        assert world.write(MONOLITH)
    return world


def run_start(parts: Parts) -> None:
    start(parts, progress=lambda *_: None, boundary=lambda _: None)


def test_a_start_ends_with_a_copy_and_both_streams() -> None:
    world = ground()
    parts = parts_of(world)
    parts.replication.warnings.append("a loose reference")
    told: list[tuple[int, int]] = []

    started = start(parts, progress=lambda *rows: told.append(rows), boundary=lambda _: None)

    assert (started.capability, started.rows, started.warnings) == (NAME, 3, ["a loose reference"])
    assert told == [(3, 3)]
    assert parts.replication.calls == [
        "preflight",
        "install", "fence service", "fence monolith", "clear",
        "copy", "finish copy", "stream forward", "stream reverse",
    ]  # fmt: skip
    assert [what for _, what, _ in world.history] == ["started"]
    at_rest(world)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_a_start_that_failed_between_steps_is_begun_anew(boundary: str) -> None:
    world = ground()

    def fail(name: str) -> None:
        if name == boundary:
            raise MoveError("it failed here")

    with pytest.raises(MoveError, match="it failed here"):
        start(parts_of(world), progress=lambda *_: None, boundary=fail)
    assert world.moves[NAME].state is State.STARTING
    assert world.write(MONOLITH)
    assert world.locks == {}

    parts = parts_of(world)
    run_start(parts)

    assert parts.replication.calls[0] == "preflight again"
    assert world.moves[NAME].epoch == 2
    at_rest(world)


def test_a_start_killed_anywhere_is_begun_anew() -> None:
    for calls in itertools.count():
        world = ground()
        coordinator = Coordinator(world, run_start)
        if coordinator.run(calls):
            assert calls > 10
            break
        coordinator.die()

        if NAME not in world.moves or world.moves[NAME].state is State.STARTING:
            run_start(parts_of(world))

        at_rest(world)


def test_a_starter_that_wakes_anywhere_in_all_that_follows() -> None:
    def follow(parts: Parts) -> None:
        run_start(parts)
        verified(parts.ledger._world)
        run_switch(parts, "switch")

    for calls in itertools.count():
        world = ground()
        if Coordinator(world, run_start).run(calls):
            break
        for wake in itertools.count():
            world = ground()
            sleeper = Coordinator(world, run_start)
            sleeper.run(calls)
            sleeper.fall_asleep()
            following = Coordinator(world, follow)
            done = following.run(wake)
            sleeper.run()
            following.run()

            assert world.violations == []
            opened = [side for side, database in world.databases.items() if database.row and database.row.open]
            assert opened in ([world.moves[NAME].owner], [])
            if world.moves[NAME].state is State.STARTING:
                # The start that was overtaken says so, and the command is run again.
                assert isinstance(following.failure, MoveError)
                run_start(parts_of(world))
            at_rest(world)
            if done:
                break


def test_a_difference_is_told_before_anything_is_made() -> None:
    world = ground()
    parts = parts_of(world)
    parts.replication.drifted.append("crate.x is on one side only")

    with pytest.raises(PreflightError, match=r"crate\.x is on one side only"):
        run_start(parts)

    assert (world.installed, world.moves, parts.replication.calls) == (False, {}, ["preflight"])


def test_where_a_ledger_is_the_preflight_comes_with_the_right_to_act() -> None:
    world = ground()
    world.installed = True
    parts = parts_of(world)
    parts.replication.drifted.append("crate.x is on one side only")

    with pytest.raises(PreflightError, match=r"crate\.x is on one side only"):
        run_start(parts)

    assert (world.moves, parts.replication.calls) == ({}, ["preflight"])


def test_a_start_that_was_killed_between_the_preflight_of_another_and_its_right_to_act_is_looked_at_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = ground()
    parts = parts_of(world)
    install = parts.ledger.install

    def installed_and_begun() -> None:
        install()
        other = Coordinator(world, run_start)
        other.run(12)
        other.die()

    monkeypatch.setattr(parts.ledger, "install", installed_and_begun)

    run_start(parts)

    assert parts.replication.calls[:2] == ["preflight", "preflight again"]
    at_rest(world)


def test_a_move_that_goes_on_is_not_started_again() -> None:
    world = moving()

    with pytest.raises(RefusedError, match="cannot start: the move has been started already"):
        run_start(parts_of(world))

    at_rest(world)


def test_a_second_start_beside_the_first_is_refused() -> None:
    world = ground()
    first = Coordinator(world, run_start)
    first.run(5)

    with pytest.raises(RefusedError, match="another command is at work"):
        run_start(parts_of(world))

    first.run()
    assert first.failure is None
    at_rest(world)


def test_a_start_that_was_overtaken_does_not_say_that_it_is_done() -> None:
    world = ground()
    sleeper = Coordinator(world, run_start)
    while "stream reverse" not in sleeper.calls:
        sleeper.run(1)
    sleeper.fall_asleep()
    run_start(parts_of(world))
    sleeper.run()

    assert sleeper.failure is not None
    assert world.databases[SERVICE].row is not None
    at_rest(world)


def test_a_refusal_after_something_was_changed_does_not_say_that_nothing_was() -> None:
    world = ground()
    parts = parts_of(world)

    def refuse(name: str) -> None:
        if name == "before:stream forward":
            raise PreflightError("this role may not create subscriptions", place="there", remedy="grant it")

    with pytest.raises(PreflightError) as caught:
        start(parts, progress=lambda *_: None, boundary=refuse)

    assert caught.value.exit_code == 1
    assert PreflightError("another").exit_code == 2
