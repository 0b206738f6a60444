"""Changes by hand are turned right if that needs no person, and a proof that no longer holds is forgotten."""

from __future__ import annotations

from dataclasses import replace

import pytest
from moves import NAME, READY, moving, parts_of, run_switch
from strangler.application.standing import look, put_right
from strangler.application.status import status
from strangler.application.switch import plan
from strangler.application.verify import verify
from strangler.application.watch import patrol
from strangler.domain.errors import RefusedError
from strangler.domain.move import Deviation
from strangler.domain.phase import State
from strangler.domain.project import MONOLITH, SERVICE
from strangler.testing import Client

OWNERS_FENCE = Deviation(MONOLITH, "the fence fires", "wait", mendable=True, unproven=False)
COPYS_FENCE = Deviation(SERVICE, "the fence is off", "wait", mendable=True)
SWAPPED = Deviation(SERVICE, "another table", "put it back")


def test_what_proves_nothing_of_the_rows_leaves_the_proof() -> None:
    world = moving()
    parts = parts_of(world)
    parts.replication.deviating.append(OWNERS_FENCE)

    run_switch(parts, "switch")

    assert world.moves[NAME].owner == SERVICE
    assert (NAME, "monolith: the fence fires", 1) in world.history


def test_a_copy_that_was_open_has_to_be_proved_anew() -> None:
    world = moving()
    parts = parts_of(world)
    parts.replication.deviating.append(COPYS_FENCE)

    with pytest.raises(RefusedError, match="gate verify: not verified since service: the fence is off"):
        run_switch(parts, "switch")
    assert parts.replication.deviating == []
    assert "verify" not in {gate.name for gate in plan(parts, "switch", READY)[1] if gate.open}

    verify(parts, repair=False, progress=lambda *_: None)
    run_switch(parts, "switch")
    assert world.moves[NAME].owner == SERVICE


def test_the_proof_is_forgotten_before_anything_is_turned_right() -> None:
    world = moving()
    parts = parts_of(world)
    parts.replication.deviating.append(COPYS_FENCE)
    seen = []
    parts.replication._client.tick = lambda call: (
        seen.append(world.moves[NAME].facts["verified_at"]) if call == "set right" else None
    )

    put_right(parts, world.moves[NAME])

    assert seen == [None]


def test_what_cannot_be_turned_right_stops_verify_and_is_told_once() -> None:
    world = moving()
    parts = parts_of(world)
    parts.replication.deviating.append(SWAPPED)
    told: list[str] = []

    for _ in range(3):
        patrol(parts, lambda _, what: told.append(what))

    assert told == ["the last verify no longer counts: service: another table"]
    assert status(parts).deviations == ["service: another table"]
    with pytest.raises(RefusedError) as caught:
        verify(parts, repair=True, progress=lambda *_: None)
    assert "another table" in caught.value.message
    assert caught.value.remedy == "put it back"


@pytest.mark.parametrize("state", [State.STARTING, State.CANCELLING])
def test_nothing_is_compared_while_it_is_being_made_or_removed(state: State) -> None:
    world = moving()
    parts = parts_of(world)
    parts.replication.deviating.append(SWAPPED)

    assert look(parts, replace(world.moves[NAME], state=state)) == []


@pytest.mark.parametrize("state", [State.STARTING, State.MOVING, State.COMPLETED])
def test_an_owner_is_relieved_beside_whoever_holds_the_lock(state: State) -> None:
    world = moving()
    world.moves[NAME] = replace(world.moves[NAME], state=state)
    parts = parts_of(world)
    parts.replication.refusing.append(OWNERS_FENCE)
    world.lock(NAME, Client())
    told: list[str] = []

    patrol(parts, lambda _, what: told.append(what))

    assert told == ["monolith: the fence fires"]
    assert (NAME, "monolith: the fence fires", 1) in world.history


@pytest.mark.parametrize("state", [State.SWITCHING, State.SETTLING, State.CANCELLING])
def test_nobody_is_relieved_while_the_owner_changes(state: State) -> None:
    world = moving()
    world.moves[NAME] = replace(world.moves[NAME], state=state)
    parts = parts_of(world)
    parts.replication.refusing.append(OWNERS_FENCE)
    world.lock(NAME, Client())

    patrol(parts, lambda *_: None)

    assert parts.replication.refusing == [OWNERS_FENCE]
