"""Whatever is killed, sleeps or loses its connection, between whichever calls: one owner, and every row."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest
from moves import Coordinator, at_rest, moving, run_recovery, run_switch
from strangler.application.sides import Parts
from strangler.domain.project import MONOLITH, SERVICE
from strangler.ports.side import LostError
from strangler.testing import World

VERBS = {MONOLITH: "switch", SERVICE: "reverse"}
Work = Callable[[Parts], None]


def command(owner: str) -> Work:
    """The verb that takes a capability away from its owner."""
    return lambda parts: run_switch(parts, VERBS[owner])


def next_command(world: World) -> Work:
    """What an operator may run next."""
    return lambda parts: run_switch(parts, VERBS[world.moves[parts.name].owner])


def stops(owner: str) -> Iterator[tuple[World, Coordinator, int]]:
    """A coordinator that has stopped after each number of calls; each time in a world of its own."""
    for calls in itertools.count():
        world = moving(owner)
        coordinator = Coordinator(world, command(owner))
        if coordinator.run(calls):
            assert coordinator.failure is None
            assert calls > 12
            return
        yield world, coordinator, calls


def replay(owner: str, calls: int) -> tuple[World, Coordinator]:
    """The same again."""
    world = moving(owner)
    coordinator = Coordinator(world, command(owner))
    coordinator.run(calls)
    return world, coordinator


def count(work: Callable[[], Coordinator]) -> int:
    """How many calls a coordinator makes when nothing disturbs it."""
    coordinator = work()
    coordinator.run()
    return len(coordinator.calls)


@pytest.mark.parametrize("owner", [MONOLITH, SERVICE])
def test_undisturbed(owner: str) -> None:
    world = moving(owner)
    coordinator = Coordinator(world, command(owner))

    assert coordinator.run()

    assert coordinator.failure is None
    assert world.moves["crates"].owner != owner
    at_rest(world, rounds=0)


@pytest.mark.parametrize("owner", [MONOLITH, SERVICE])
def test_a_coordinator_killed_anywhere(owner: str) -> None:
    for world, coordinator, _ in stops(owner):
        coordinator.die()

        at_rest(world)


@pytest.mark.parametrize("owner", [MONOLITH, SERVICE])
def test_a_recovery_killed_anywhere_after_a_coordinator_killed_anywhere(owner: str) -> None:
    for _, dead, calls in stops(owner):
        dead.die()
        for crash in itertools.count():
            world, coordinator = replay(owner, calls)
            coordinator.die()
            recovery = Coordinator(world, run_recovery)
            if recovery.run(crash):
                break
            recovery.die()

            at_rest(world)


@pytest.mark.parametrize("owner", [MONOLITH, SERVICE])
def test_a_coordinator_that_wakes_anywhere_in_a_recovery(owner: str) -> None:
    for _, dead, calls in stops(owner):
        dead.die()
        for wake in itertools.count():
            world, sleeper = replay(owner, calls)
            sleeper.fall_asleep()
            recovery = Coordinator(world, run_recovery)
            done = recovery.run(wake)
            sleeper.run()
            recovery.run()

            at_rest(world)
            if done:
                break


@pytest.mark.parametrize("owner", [MONOLITH, SERVICE])
def test_a_coordinator_that_wakes_for_a_while_anywhere_in_a_recovery(owner: str) -> None:
    for _, dead, calls in stops(owner):
        dead.die()
        for wake, moment in itertools.product(range(0, 12, 2), range(1, 8)):
            world, sleeper = replay(owner, calls)
            sleeper.fall_asleep()
            recovery = Coordinator(world, run_recovery)
            recovery.run(wake)
            sleeper.run(moment)
            recovery.run()
            sleeper.run()

            at_rest(world)


@pytest.mark.parametrize("owner", [MONOLITH, SERVICE])
def test_a_coordinator_that_wakes_anywhere_in_the_next_command(owner: str) -> None:
    for _, dead, calls in stops(owner):
        dead.die()
        for wake in itertools.count():
            world, sleeper = replay(owner, calls)
            sleeper.fall_asleep()
            run_recovery_in(world)
            following = Coordinator(world, next_command(world))
            done = following.run(wake)
            sleeper.run()
            following.run()

            at_rest(world)
            if done:
                break


@pytest.mark.parametrize("owner", [MONOLITH, SERVICE])
def test_a_coordinator_that_wakes_after_many_commands(owner: str) -> None:
    for world, sleeper, _ in stops(owner):
        sleeper.fall_asleep()
        run_recovery_in(world)
        for _ in range(3):
            Coordinator(world, next_command(world)).run()
        sleeper.run()

        at_rest(world)


@pytest.mark.parametrize("owner", [MONOLITH, SERVICE])
def test_a_coordinator_that_wakes_anywhere_after_a_recovery_that_was_killed_anywhere(owner: str) -> None:
    for _, dead, calls in stops(owner):
        dead.die()
        for crash in itertools.count():
            finished = False
            for wake in itertools.count():
                world, sleeper = replay(owner, calls)
                sleeper.fall_asleep()
                first = Coordinator(world, run_recovery)
                finished = first.run(crash)
                first.die()
                second = Coordinator(world, run_recovery)
                done = second.run(wake)
                sleeper.run()
                second.run()

                at_rest(world)
                if done:
                    break
            if finished:
                break


@pytest.mark.parametrize("side", [MONOLITH, SERVICE])
@pytest.mark.parametrize("owner", [MONOLITH, SERVICE])
def test_a_server_that_dies_anywhere(owner: str, side: str) -> None:
    for world, coordinator, _ in stops(owner):
        world.crash(side)
        coordinator.run()

        at_rest(world)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("owner", [MONOLITH, SERVICE])
def test_a_connection_that_is_lost_anywhere(owner: str, after: bool) -> None:
    """Before the call took effect, or after: the coordinator cannot tell which."""
    for calls in itertools.count():
        world = moving(owner)
        coordinator = Coordinator(world, command(owner))
        if coordinator.run(calls):
            break
        fail_once(world, coordinator, after=after)
        coordinator.run()

        at_rest(world)


def fail_once(world: World, coordinator: Coordinator, *, after: bool) -> None:
    """Raises LostError in the coordinator's next call, or in the one after it."""
    original = coordinator.client.tick
    seen = 0

    def tick(call: str) -> None:
        nonlocal seen
        seen += 1
        if seen == (2 if after else 1):
            coordinator.client.tick = original
            world.drop_held(coordinator.client)
            raise LostError("the connection was lost")
        original(call)

    coordinator.client.tick = tick


def run_recovery_in(world: World) -> None:
    Coordinator(world, run_recovery).run()
