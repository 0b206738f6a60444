"""Which canaries begin, what they leave, and what ends them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from moves import NAME, PROJECT, READY, beating, moving, parts_of, run_switch
from strangler.application import canary as sharing
from strangler.application import routes
from strangler.application.canary import look_after, plan, share
from strangler.application.ending import cancel
from strangler.application.sides import Parts
from strangler.application.switch import switch
from strangler.application.watch import patrol
from strangler.domain import canary
from strangler.domain.errors import MoveError, RefusedError
from strangler.domain.phase import State
from strangler.domain.project import MONOLITH, SERVICE
from strangler.testing import Client, Crashed, World


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "SETTLE_SECONDS", 0)
    monkeypatch.setattr(sharing, "HEARD_SECONDS", 0.05)


def shared(weight: int = 10) -> tuple[World, Parts]:
    world = moving()
    parts = parts_of(world)
    beating(parts)
    share(parts, weight, ready=READY)
    return world, parts


def reads(world: World) -> dict[str, int]:
    return dict(routes.table(PROJECT, list(world.moves.values())).capabilities[0].reads)


def told(world: World) -> dict[str, object]:
    return {side: database.row.reads if database.row else {} for side, database in world.databases.items()}


def test_a_share_of_the_reads_goes_to_the_copy_and_no_write() -> None:
    world, _ = shared(10)

    table = routes.table(PROJECT, list(world.moves.values()))
    assert table.capabilities[0].reads == {MONOLITH: 90, SERVICE: 10}
    assert table.capabilities[0].writes == {MONOLITH: 100, SERVICE: 0}
    assert table.version == "crates@1:monolith/10%~1"
    terms = {"epoch": 1, "max_lag": 5.0, "wait": 0.15, "trusting": False}
    assert told(world) == {MONOLITH: terms, SERVICE: terms}


def test_each_change_has_a_turn_that_gateways_report() -> None:
    world, parts = shared(10)
    for weight in (10, 50, 100):
        assert share(parts, weight, ready=READY).live_ms is not None

    assert canary.of(world.moves[NAME]).turn == 4
    assert routes.epochs(list(world.moves.values()))[f"{NAME}~"] == 4


def test_a_gateway_that_does_not_follow_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    world, parts = shared(10)
    world.agents_follow, world.agents = False, {"here": {NAME: 1, f"{NAME}~": 1}}
    monkeypatch.setattr(sharing, "LIVE_SECONDS", 0)

    assert share(parts, 20, ready=READY).live_ms is None
    assert reads(world)[SERVICE] == 20


def test_at_weight_0_the_owner_answers_all_and_nobody_bears_positions() -> None:
    world, parts = shared(10)
    share(parts, 0, ready=READY)

    assert reads(world) == {MONOLITH: 100, SERVICE: 0}
    assert told(world) == {MONOLITH: {}, SERVICE: {}}
    assert not canary.of(world.moves[NAME]).on


def test_the_copy_is_told_first_that_it_is_over() -> None:
    world, parts = shared(10)
    parts.monolith.share_reads = lambda *_, **__: (
        pytest.fail("before the copy") if world.databases[SERVICE].row.reads else True
    )  # type: ignore

    share(parts, 0, ready=READY)


def drift(world: World, parts: Parts) -> None:
    parts.replication.drifted.append("crate has another column")


def unverified(world: World, parts: Parts) -> None:
    parts.ledger.learn(NAME, verified_at=None)


def mute(world: World, parts: Parts) -> None:
    parts.replication.muteness.append("the service cannot: its chassis does not know how")


def old_agent(world: World, parts: Parts) -> None:
    world.agents_follow, world.agents = False, {"old": {NAME: 1}}


def no_agent(world: World, parts: Parts) -> None:
    world.agents.clear()


def stopped(world: World, parts: Parts) -> None:
    forward = parts.replication.running["forward"]
    parts.replication.running["forward"] = replace(forward, active=False)


def behind(world: World, parts: Parts) -> None:
    forward = parts.replication.running["forward"]
    parts.replication.running["forward"] = replace(forward, lag_seconds=2.0)


@pytest.mark.parametrize(
    ("wrong", "gate"),
    [
        (drift, "columns"),
        (unverified, "verify"),
        (mute, "positions"),
        (old_agent, "weights"),
        (no_agent, "gateway"),
        (stopped, "stream"),
        (behind, "lag"),
    ],
)
def test_a_gate_keeps_a_canary_from_beginning(wrong: Callable[[World, Parts], None], gate: str) -> None:
    world = moving()
    parts = parts_of(world)
    beating(parts)
    wrong(world, parts)

    with pytest.raises(RefusedError) as caught:
        share(parts, 10, ready=READY)

    assert f"gate-{gate}" in {one.id for one in caught.value.findings}
    assert (reads(world)[SERVICE], told(world)) == (0, {MONOLITH: {}, SERVICE: {}})
    assert not all(each.open for each in plan(parts, 10, READY)[1])


def test_a_shut_gate_keeps_nobody_from_ending_one() -> None:
    world, parts = shared(10)
    stopped(world, parts)
    share(parts, 0, ready=READY)

    assert reads(world)[SERVICE] == 0


def test_without_a_heartbeat_nothing_is_shared() -> None:
    world = moving()
    with pytest.raises(MoveError, match="strangler serve"):
        share(parts_of(world), 10, ready=READY)

    assert (reads(world)[SERVICE], told(world)) == (0, {MONOLITH: {}, SERVICE: {}})
    assert not canary.of(world.moves[NAME]).on


def test_the_service_shares_nothing() -> None:
    with pytest.raises(RefusedError, match="the service owns it"):
        share(parts_of(moving(SERVICE)), 10, ready=READY)


def test_before_a_start_there_is_nothing_to_share() -> None:
    with pytest.raises(RefusedError, match="no copy"):
        share(parts_of(World()), 10, ready=READY)


def test_a_switch_ends_it_and_so_does_the_way_back() -> None:
    world, parts = shared(10)
    run_switch(parts, "switch")
    assert canary.of(world.moves[NAME]).weight == 0
    assert reads(world) == {MONOLITH: 0, SERVICE: 100}
    world.relay(MONOLITH)
    run_switch(parts, "reverse")

    assert reads(world) == {MONOLITH: 100, SERVICE: 0}
    patrol(parts, lambda *_: None)
    assert told(world) == {MONOLITH: {}, SERVICE: {}}


def test_a_switch_that_is_unwound_ends_it() -> None:
    world, parts = shared(10)
    parts.service.prepare = lambda **_: (_ for _ in ()).throw(MoveError("no"))  # type: ignore[method-assign]
    with pytest.raises(MoveError):
        switch(parts, "switch", ready=READY, timeout=1.0, boundary=lambda _: None)

    assert (world.moves[NAME].state, reads(world)[SERVICE]) == (State.MOVING, 0)
    patrol(parts, lambda *_: None)
    assert told(world) == {MONOLITH: {}, SERVICE: {}}


def test_a_copy_that_is_not_proven_any_more_answers_nobody() -> None:
    world, parts = shared(10)
    unverified(world, parts)
    done: list[str] = []

    patrol(parts, lambda _, what: done.append(what))

    assert done == ["ended the canary: the last verify no longer counts"]
    assert (reads(world)[SERVICE], told(world)) == (0, {MONOLITH: {}, SERVICE: {}})


def test_a_move_that_is_given_up_shares_nothing() -> None:
    world, parts = shared(10)
    before = world.history.copy()
    cancel(parts)

    assert [what for _, what, _ in world.history[len(before) :]] == ["canary", "cancelled"]


def test_wherever_it_is_killed_the_next_patrol_leaves_it_whole() -> None:
    """Either shared, with positions on both sides, or not at all."""
    calls = 0
    for stop in range(100):
        world = moving()
        calls = 0
        client = Client()

        def tick(_: str, client: Client = client, stop: int = stop) -> None:
            nonlocal calls
            calls += 1
            client.gone = calls > stop

        parts = parts_of(world, client)
        beating(parts)
        client.tick = tick
        try:
            share(parts, 10, ready=READY)
        except Crashed:
            pass
        else:
            break
        world.locks.clear()
        patrol(parts_of(world), lambda *_: None)
        weight = canary.of(world.moves[NAME]).weight
        assert all(bool(terms) == bool(weight) for terms in told(world).values()), stop
        assert canary.of(world.moves[NAME]).on == bool(weight)
        assert look_after(parts_of(world), world.moves[NAME]) == []
    assert stop > 10
