"""Each step of a switch: after its start, with an unwinding after it, and with a crash between it and the next step."""

from __future__ import annotations

import time
from typing import Any

import pytest
from moves import NAME, at_rest, moving, parts_of, run_switch
from strangler.application.recovery import recover
from strangler.application.sides import Parts
from strangler.application.switch import FORWARD_ONLY, REVOCABLE, STEPS
from strangler.domain.errors import MoveError
from strangler.domain.phase import State
from strangler.domain.project import MONOLITH, SERVICE
from strangler.ports.side import BlockedError, StaleError
from strangler.steps import flip_routes, unwinding
from strangler.steps.fence_owner import FenceOwner
from strangler.steps.flip_routes import FlipRoutes
from strangler.steps.step import Step, run
from strangler.steps.switching import Switch
from strangler.testing import Client, Crashed, World
from strangler.testing.world import Opening

VERBS = {MONOLITH: "switch", SERVICE: "reverse"}
BOUNDARIES = [f"{moment}:{step.name}" for step in STEPS for moment in ("before", "after")]


def switching(parts: Parts, owner: str, *, budget: float = 1.0) -> Switch:
    """A switch as its command makes it."""
    move = parts.ledger.move(NAME)
    assert move is not None
    return Switch(
        capability=NAME,
        verb=VERBS[owner],
        ledger=parts.ledger,
        old=parts.sides[owner],
        new=parts.opposite(owner),
        epoch=move.epoch,
        deadline=time.monotonic() + budget,
    )


def after(step: Step[Switch], world: World, owner: str) -> Switch:
    """The switch after a step and all steps before it have been started."""
    move = switching(parts_of(world), owner)
    for each in STEPS[: STEPS.index(step) + 1]:
        each.start(move)
    return move


def seen(world: World) -> tuple[str, str, bool, bool]:
    """State and owner in the ledger, and whether each side is open."""
    move = world.moves[NAME]
    monolith, service = (world.databases[side].row for side in (MONOLITH, SERVICE))
    assert monolith is not None
    assert service is not None
    return move.state.value, move.owner, monolith.open, service.open


STARTED = {
    "announce": ("switching", MONOLITH, True, False),
    "fence owner": ("switching", MONOLITH, False, False),
    "drain stream": ("switching", MONOLITH, False, False),
    "prepare owner": ("switching", MONOLITH, False, False),
    "begin opening": ("switching", MONOLITH, False, False),
    "take ownership": ("settling", SERVICE, False, False),
    "open owner": ("settling", SERVICE, False, True),
    "release requests": ("settling", SERVICE, False, True),
    "flip routes": ("settling", SERVICE, False, True),
    "release events": ("settling", SERVICE, False, True),
}


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_a_step_does_one_thing(step: Step[Switch]) -> None:
    world = moving()

    after(step, world, MONOLITH)

    assert seen(world) == STARTED[step.name]
    assert world.violations == []


def test_towards_the_monolith_the_ledger_and_the_lift_are_one() -> None:
    world = moving(SERVICE)

    move = after(next(step for step in STEPS if step.name == "take ownership"), world, SERVICE)

    assert seen(world) == ("settling", MONOLITH, True, False)
    assert move.pause_ms is not None


@pytest.mark.parametrize("owner", [MONOLITH, SERVICE])
@pytest.mark.parametrize("step", REVOCABLE[:-1], ids=lambda step: step.name)
def test_a_switch_that_is_unwound_behind_a_step_can_be_so_again(step: Step[Switch], owner: str) -> None:
    world = moving(owner)
    move = after(step, world, owner)

    assert [unwinding.unwind(move) for _ in range(2)] == [True, False]

    assert all(database.opening is None for database in world.databases.values())
    at_rest(world)


@pytest.mark.parametrize("owner", [MONOLITH, SERVICE])
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_a_failure_between_steps_leaves_one_owner(boundary: str, owner: str) -> None:
    world = moving(owner)

    def fail(name: str) -> None:
        if name == boundary:
            raise MoveError("it failed here")

    with pytest.raises(MoveError, match="it failed here"):
        run_switch(parts_of(world), VERBS[owner], fail)

    passed = STEPS[BOUNDARIES.index(boundary) // 2] in FORWARD_ONLY or boundary == "after:take ownership"
    assert (world.moves[NAME].owner != owner) is passed
    if not passed:
        at_rest(world, rounds=1)
    at_rest(world)


@pytest.mark.parametrize("owner", [MONOLITH, SERVICE])
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_a_crash_between_steps_leaves_one_owner(boundary: str, owner: str) -> None:
    world = moving(owner)
    parts = parts_of(world)
    client = parts.ledger._client

    def kill(name: str) -> None:
        if name == boundary:
            world.sleep(client)
            client.gone = True
            raise Crashed

    with pytest.raises(Crashed):
        run_switch(parts, VERBS[owner], kill)

    at_rest(world)


def test_steps_are_run_in_order_and_timed() -> None:
    told: list[str] = []

    taken = run([Recorded("one", told), Recorded("two", told)], None, boundary=told.append)

    assert told == [
        "before:one", "start one", "after:one",
        "before:two", "start two", "after:two",
    ]  # fmt: skip
    assert [step.step for step in taken] == ["one", "two"]


def test_nothing_is_begun_behind_a_step_that_fails() -> None:
    told: list[str] = []
    steps = [Recorded("one", told), Recorded("two", told, fails=True), Recorded("three", told)]

    with pytest.raises(MoveError):
        run(steps, None, boundary=lambda _: None)

    assert told == ["start one", "start two"]


def test_a_switch_that_cannot_be_made_ready_is_not_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    world = moving()
    parts = parts_of(world)

    def cold() -> None:
        raise MoveError("it cannot be warmed")

    monkeypatch.setattr(parts.service, "warm", cold)

    with pytest.raises(MoveError, match="cannot be warmed"):
        run_switch(parts, "switch", lambda _: pytest.fail("a step was begun"))
    assert seen(world) == ("moving", MONOLITH, True, False)


class Recorded(Step[None]):
    """Notes every call."""

    def __init__(self, name: str, told: list[str], *, fails: bool = False) -> None:
        self.name, self.told, self.fails = name, told, fails

    def start(self, move: None) -> None:
        self.told.append(f"start {self.name}")
        if self.fails:
            raise MoveError("it failed")


def blocked_at_first(parts: Parts, monkeypatch: pytest.MonkeyPatch, *, times: int) -> list[float]:
    """Lets that many fences of the monolith fail; returns when each began."""
    began: list[float] = []
    fence = parts.monolith.fence

    def blocked(**values: int) -> Any:
        began.append(time.perf_counter())
        if len(began) <= times:
            raise BlockedError("held")
        return fence(**values)

    monkeypatch.setattr(parts.monolith, "fence", blocked)
    monkeypatch.setattr(Switch, "statement_ms", lambda _: 1)
    return began


def test_a_fence_is_tried_until_the_tables_are_free(monkeypatch: pytest.MonkeyPatch) -> None:
    world = moving()
    parts = parts_of(world)
    move = switching(parts, MONOLITH)
    blocked_at_first(parts, monkeypatch, times=2)

    FenceOwner().start(move)

    assert move.tries == 3
    assert not world.databases[MONOLITH].row.open


def test_the_pause_begins_with_the_first_door_that_was_shut(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = parts_of(moving())
    move = switching(parts, MONOLITH)
    shut = blocked_at_first(parts, monkeypatch, times=1)

    FenceOwner().start(move)

    assert len(shut) == 2
    assert move.shut_at is not None
    assert move.shut_at <= shut[0]


def test_a_switch_that_was_undone_says_in_the_history_how_long_the_door_was_shut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = moving()
    world.databases[SERVICE].streaming = False
    recorded: list[tuple[str, float | None]] = []
    parts = parts_of(world)
    record = parts.ledger.record

    def noted(capability: str, what: str, **details: Any) -> None:
        recorded.append((what, details.get("took_ms")))
        record(capability, what, **details)

    monkeypatch.setattr(parts.ledger, "record", noted)

    with pytest.raises(MoveError, match="did not drain"):
        run_switch(parts, "switch")

    ((what, took_ms),) = recorded
    assert what == "switch aborted"
    assert took_ms is not None
    assert took_ms > 0


def test_a_switch_tells_the_history_what_its_steps_took_and_when_it_was_lifted() -> None:
    world = moving()
    parts = parts_of(world)

    run_switch(parts, "switch")

    entry = parts.ledger.history(NAME)[-1]
    assert entry.what == "switch"
    assert entry.took_ms is not None
    assert entry.took_ms > 0
    assert list(entry.details["steps_ms"]) == [step.name for step in STEPS]
    assert entry.details["since_lift_ms"] >= 0


def test_a_fence_that_comes_to_nothing_names_who_is_in_the_way() -> None:
    world = moving()
    parts = parts_of(world)
    parts.monolith.busy.append("pid 7 (clerk)")
    world.databases[MONOLITH].opening = Opening(Client(), 9)

    with pytest.raises(MoveError, match=r"(?s)did not become free in time.*held by pid 7 \(clerk\)"):
        FenceOwner().start(switching(parts, MONOLITH, budget=0))

    assert not world.databases[MONOLITH].pausing


def test_a_stream_that_does_not_drain_ends_the_switch() -> None:
    world = moving()
    world.databases[SERVICE].streaming = False

    with pytest.raises(MoveError, match="the stream did not drain"):
        run_switch(parts_of(world), "switch")

    world.databases[SERVICE].streaming = True
    assert world.moves[NAME].epoch == 3
    at_rest(world)


def test_a_fence_says_how_far_the_sequences_have_come() -> None:
    world = moving()
    world.write(MONOLITH)
    move = switching(parts_of(world), MONOLITH)

    FenceOwner().start(move)

    assert move.positions == {"rows": 4}


@pytest.mark.parametrize("boundary", ["after:take ownership", "before:open owner"])
def test_an_opening_that_led_to_ownership_is_not_dropped(boundary: str, monkeypatch: pytest.MonkeyPatch) -> None:
    world = moving()
    parts = parts_of(world)
    monkeypatch.setattr(parts.service, "drop_opening", lambda: pytest.fail("the owner's opening was dropped"))

    def fail(name: str) -> None:
        if name == boundary:
            raise MoveError("it failed here")

    with pytest.raises(MoveError):
        run_switch(parts, "switch", fail)

    assert world.databases[SERVICE].opening is not None


def test_a_coordinator_that_was_unwound_cannot_take_ownership() -> None:
    world = moving()
    move = after(next(step for step in STEPS if step.name == "begin opening"), world, MONOLITH)
    recover(parts_of(world))

    with pytest.raises(MoveError, match="unwound by recovery"):
        next(step for step in STEPS if step.name == "take ownership").start(move)
    unwinding.unwind(move)
    at_rest(world)


def test_a_move_that_changed_since_it_was_read_is_not_announced() -> None:
    world = moving()
    move = switching(parts_of(world), MONOLITH)
    move.epoch = 0

    with pytest.raises(MoveError, match="has changed since it was read"):
        STEPS[0].start(move)

    assert world.moves[NAME].state is State.MOVING


def test_a_stale_epoch_cannot_fence() -> None:
    world = moving()
    move = switching(parts_of(world), MONOLITH)
    move.epoch = 7

    with pytest.raises(StaleError):
        FenceOwner().start(move)


def test_routes_that_do_not_flip_are_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flip_routes, "FLIP_SECONDS", 0.02)
    world = moving()
    world.agents_follow = False
    world.agents = {"late": {NAME: 1}}
    parts = parts_of(world)
    move = switching(parts, MONOLITH)

    assert not flip_routes.flipped(move)
    FlipRoutes().start(move)

    world.agents = {"late": {NAME: 2}, "other": {NAME: 2}}
    assert flip_routes.flipped(move)
    world.agents = {}
    assert not flip_routes.flipped(move)


def test_the_pause_is_from_the_first_shut_door_to_the_lift() -> None:
    move = switching(parts_of(moving()), MONOLITH)
    assert move.pause_ms is None
    move.shut_at, move.opened_at = 1.0, 1.25

    assert move.pause_ms == 250
    assert move.target == 2
    assert move.statement_ms() == 500
