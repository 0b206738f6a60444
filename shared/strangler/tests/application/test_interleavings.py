"""If a coordinator dies, sleeps or loses its connection, between any two calls, there is one owner, and no row is
lost."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from moves import Coordinator, at_rest, moving, relay, run_recovery, run_switch
from strangler.application.sides import Parts
from strangler.domain.phase import State
from strangler.domain.project import MONOLITH, SERVICE
from strangler.ports.side import LostError
from strangler.testing import MemoryLedger, World

VERBS = {MONOLITH: "switch", SERVICE: "reverse"}
Work = Callable[[Parts], None]


def command(owner: str) -> Work:
    """The verb that takes a capability away from its owner."""
    return lambda parts: run_switch(parts, VERBS[owner])


def next_command(world: World) -> Work:
    """The verbs that an operator may run next."""
    return lambda parts: run_switch(parts, VERBS[world.moves[parts.name].owner])


def stops(owner: str) -> Iterator[tuple[World, Coordinator, int]]:
    """A coordinator that has stopped after each possible number of calls; each time in a world of its own."""
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
    """How many calls a coordinator makes if nothing disturbs it."""
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
    relay(world)
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
def test_a_connection_that_is_lost_in_any_call(owner: str, after: bool) -> None:
    """The connection is lost before the call took effect, or after: the coordinator cannot tell which."""
    for number in itertools.count():
        world = moving(owner)
        losses = Losses(world, number, after=after)
        coordinator = Coordinator(world, lambda parts, losses=losses: command(owner)(losses.over(parts)))
        coordinator.run()

        at_rest(world)
        if not losses.happened:
            break


@pytest.mark.parametrize("owner", [MONOLITH, SERVICE])
def test_an_unknown_outcome_of_the_point_of_no_return_is_read_again(owner: str) -> None:
    world = moving(owner)
    losses = Losses(world, "swap" if owner == MONOLITH else "open", after=True)
    coordinator = Coordinator(world, lambda parts: command(owner)(losses.over(parts)))
    coordinator.run()

    assert losses.happened
    assert coordinator.failure is None
    assert world.moves["crates"].owner != owner
    at_rest(world)


class Losses:
    """Parts of which one call loses its connection: the call with a number, or the last of its name before the new
    owner's."""

    def __init__(self, world: World, which: int | str, *, after: bool) -> None:
        self.world, self.which, self.after = world, which, after
        self.calls = 0
        self.happened = False

    def over(self, parts: Parts) -> Parts:
        sides = {name: Losing(side, self, parts) for name, side in parts.sides.items()}
        return replace(parts, ledger=Losing(parts.ledger, self, parts), sides=sides)

    def strikes(self, name: str, arguments: Mapping[str, Any]) -> bool:
        self.calls += 1
        if isinstance(self.which, int):
            return self.calls == self.which + 1
        return name == self.which and (name != "swap" or arguments["to"] is State.SETTLING)


class Losing:
    """A port whose connection can be lost in a call."""

    def __init__(self, port: Any, losses: Losses, parts: Parts) -> None:
        self._port, self._losses, self._parts = port, losses, parts

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        if not callable(found) or name in {"coordinating", "unlock", "close", "drop_opening"}:
            return found

        def call(*values: Any, **named: Any) -> Any:
            struck = not self._losses.happened and self._losses.strikes(name, named)
            if struck and not self._losses.after:
                self._lose()
            answer = found(*values, **named)
            if struck:
                self._lose()
            return answer

        return call

    def _lose(self) -> None:
        self._losses.happened = True
        client = self._port._client
        if isinstance(self._port, MemoryLedger):
            for capability in [each for each, holder in self._losses.world.locks.items() if holder is client]:
                del self._losses.world.locks[capability]
        else:
            self._port.close()
        raise LostError("the connection was lost")


def run_recovery_in(world: World) -> None:
    Coordinator(world, run_recovery).run()
