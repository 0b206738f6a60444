"""Step 9: the new owner's events go out after the old owner's, and only events wait."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from moves import NAME, READY, Coordinator, at_rest, moving, parts_of, relay, run_recovery, run_switch, verified
from strangler.application import gates
from strangler.application.doctor import examine
from strangler.application.ending import complete
from strangler.application.recovery import recover
from strangler.application.sides import Parts
from strangler.application.status import status
from strangler.application.switch import Switched, switch
from strangler.domain.errors import ConfigurationError, RefusedError
from strangler.domain.phase import State
from strangler.domain.project import MONOLITH, SERVICE
from strangler.ports.side import BlockedError, LostError
from strangler.testing import World

FORMER = {SERVICE: MONOLITH, MONOLITH: SERVICE}
VERBS = {MONOLITH: "switch", SERVICE: "reverse"}


def held(world: World, side: str) -> bool:
    row = world.databases[side].row
    assert row is not None
    return row.events_held


def switched(world: World, *, timeout: float = 0.05) -> Switched:
    """A switch while no relay runs."""
    return switch(parts_of(world), "switch", ready=READY, timeout=timeout, boundary=lambda _: None)


def test_the_new_owner_s_events_are_held_until_the_old_owner_s_are_out() -> None:
    world = moving()

    done = switched(world)

    assert done.events_held
    assert done.steps[-1].step == "release events"
    assert world.moves[NAME].state is State.MOVING
    assert world.write(SERVICE), "a write waits for events"
    relay(world)
    assert world.sent == [1, 1, 1]
    run_recovery(parts_of(world))
    relay(world)
    assert world.sent == [1, 1, 1, 2]
    at_rest(world)


@pytest.mark.parametrize("owner", [MONOLITH, SERVICE])
def test_an_outbox_that_empties_in_time_is_waited_for(owner: str) -> None:
    world = moving(owner)

    run_switch(parts_of(world), VERBS[owner])

    assert not any(held(world, side) for side in FORMER)
    assert not world.databases[owner].outbox


@pytest.mark.parametrize("state", [State.MOVING, State.COMPLETED])
def test_recovery_waits_on_and_releases(state: State) -> None:
    world = moving()
    switched(world)
    world.moves[NAME] = replace(world.moves[NAME], state=state)
    assert recover(parts_of(world)) is None
    assert held(world, SERVICE)

    relay(world)

    assert recover(parts_of(world)) == "released the events of the service"
    assert not held(world, SERVICE)
    assert recover(parts_of(world)) is None


@pytest.mark.parametrize("error", [LostError("the server went away"), BlockedError("the outbox is held")])
def test_an_old_owner_that_is_away_delays_events_and_nothing_else(error: Exception) -> None:
    world = moving()
    parts = parts_of(world)
    backlog, asked = parts.monolith.backlog, iter([None])

    def away() -> int | None:
        if next(asked, error) is error:
            raise error
        return backlog()

    parts.monolith.backlog = away

    done = switch(parts, "switch", ready=READY, timeout=0.05, boundary=lambda _: None)

    assert done.events_held
    assert world.moves[NAME].state is State.MOVING
    assert recover(parts) is None
    at_rest(world)


def test_the_next_switch_waits_for_the_events_of_this_one() -> None:
    world = moving()
    switched(world)
    verified(world)
    measured = {gate.name: gate for gate in gates.measure(parts_of(world), world.moves[NAME], READY)}
    assert measured["events"].found == "held until the monolith has sent its own"

    with pytest.raises(RefusedError, match="gate events") as caught:
        switch(parts_of(world), "reverse", ready=READY, timeout=0.01, boundary=lambda _: None)

    assert caught.value.remedy == "see that the relay of the monolith runs"
    relay(world)
    run_switch(parts_of(world), "reverse")
    at_rest(world)


def test_an_aborted_switch_holds_nothing_back() -> None:
    world = moving()
    world.databases[SERVICE].streaming = False
    with pytest.raises(Exception, match="did not drain"):
        switched(world)
    world.databases[SERVICE].streaming = True

    assert not any(held(world, side) for side in FORMER)
    at_rest(world)


def test_without_an_outbox_nothing_is_held_asked_or_shown() -> None:
    world = moving()
    world.outboxes = False
    for database in world.databases.values():
        database.outbox.clear()

    done = switched(world)

    assert not done.events_held
    assert not held(world, SERVICE)
    assert status(parts_of(world)).events == {}
    assert "events" not in {gate.name for gate in gates.measure(parts_of(world), world.moves[NAME], READY)}


def test_an_outbox_that_is_not_there_is_told_before_anything_is_done() -> None:
    world = moving()
    parts = parts_of(world)

    def missing() -> int | None:
        raise ConfigurationError("there is no table outgoing", place="strangler.toml: databases.depot.outbox")

    parts.service.backlog = missing

    with pytest.raises(ConfigurationError):
        switch(parts, "switch", ready=READY, timeout=1, boundary=lambda _: None)

    assert world.moves[NAME].state is State.MOVING
    assert world.moves[NAME].epoch == 1
    assert world.write(MONOLITH)


def test_events_that_are_held_after_the_outbox_left_the_configuration_are_released() -> None:
    world = moving()
    switched(world)
    world.outboxes = False

    assert recover(parts_of(world)) == "released the events of the service"


def test_status_shows_what_is_held_and_what_it_waits_for() -> None:
    world = moving()
    assert status(parts_of(world)).events == {"held": False, "backlog": {MONOLITH: 3, SERVICE: 0}}

    switched(world)
    world.write(SERVICE)

    assert status(parts_of(world)).events == {"held": True, "backlog": {MONOLITH: 3, SERVICE: 1}}


@pytest.mark.parametrize(("age", "found"), [(30, []), (61, ["events"])])
def test_doctor_names_events_that_are_held_for_long(age: int, found: list[str]) -> None:
    world = moving()
    switched(world)
    world.moves[NAME] = replace(world.moves[NAME], changed_at=datetime.now(UTC) - timedelta(seconds=age))

    findings = examine([parts_of(world)], Nothing())

    assert [finding.id for finding in findings] == found
    assert all("outbox of the monolith is not empty" in finding.message for finding in findings)


def test_what_was_completed_while_events_were_held_releases_them_too() -> None:
    world = moving()
    switched(world)
    complete(parts_of(world), drop=False)
    assert held(world, SERVICE)

    relay(world)
    run_recovery(parts_of(world))

    assert not held(world, SERVICE)


@pytest.mark.parametrize("owner", [MONOLITH, SERVICE])
def test_a_coordinator_killed_anywhere_while_the_old_owner_s_relay_stands_still(owner: str) -> None:
    for calls in itertools.count():
        world = moving(owner)
        world.databases[owner].relaying = False
        coordinator = Coordinator(world, lambda parts: brief(parts, VERBS[owner]))
        done = coordinator.run(calls)
        coordinator.die()
        for _ in range(3):
            run_recovery(parts_of(world))
            relay(world)
        move = world.moves[NAME]
        assert move.state is State.MOVING
        assert held(world, move.owner) is (move.owner != owner)
        assert not held(world, FORMER[move.owner])

        world.databases[owner].relaying = True
        at_rest(world)
        if done:
            break


def brief(parts: Parts, verb: str) -> None:
    """A switch that does not wait for events."""
    switch(parts, verb, ready=READY, timeout=0.0, boundary=lambda _: None)


class Nothing:
    """Databases in which everything else is right."""

    def leavings(self, known: set[str]) -> list[tuple[str, str]]:
        return []

    def retained(self) -> list[tuple[str, str]]:
        return []

    def sequences_behind(self, capability: str, owner: str) -> list[tuple[str, str]]:
        return []

    def strays(self, capability: str) -> list[object]:
        return []

    def unplaced(self) -> list[str]:
        return []

    def close(self) -> None:
        """There is nothing to close."""
