from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from moves import NAME, READY, Coordinator, moving, parts_of, run_switch
from strangler.application import gates
from strangler.application.switch import plan
from strangler.cli.ownership import _show_plan
from strangler.domain.errors import RefusedError
from strangler.domain.findings import Finding, Severity
from strangler.domain.move import Deviation
from strangler.domain.phase import State
from strangler.domain.project import MONOLITH, SERVICE
from strangler.testing import World

Parts = Any
LONG_ENOUGH_SECONDS = 60
ASKEW = Deviation(SERVICE, "a table was swapped", "put it back")


@dataclass
class Busy:
    seconds: float

    def __str__(self) -> str:
        return "pid 7 (clerk)"


def stream(direction: str, **changes: object) -> Callable[[World, Parts], None]:
    def change(world: World, parts: Parts) -> None:
        parts.replication.running[direction] = replace(parts.replication.running[direction], **changes)

    return change


def fact(**facts: object) -> Callable[[World, Parts], None]:
    return lambda world, parts: parts.ledger.learn(NAME, **facts)


def hours_ago(hours: float) -> str:
    return (datetime.now(UTC) - timedelta(hours=hours)).isoformat()


OUTWARD = Finding("numbers-differ", Severity.ERROR, "there", "crate.x means something else", "number it anew")

SHUT: dict[str, tuple[Callable[[World, Parts], None], str]] = {
    "forward stream": (stream("forward", active=False), "does not run"),
    "forward stream lost": (stream("forward", lost=True), "lost"),
    "forward stream gone": (stream("forward", exists=False), "lost"),
    "forward stream not ready": (stream("forward", ready=False), "runs"),
    "reverse stream": (stream("reverse", active=False), "does not run"),
    "forward errors": (stream("forward", errors=2), "2 apply errors since the last verify"),
    "reverse errors": (stream("reverse", errors=1), "1 apply error since the last verify"),
    "lag in bytes": (stream("forward", lag_bytes=2**30), "1,073,741,824 bytes"),
    "lag in seconds": (stream("forward", lag_seconds=2.5), "2.500 s behind"),
    "verify never": (lambda world, parts: world.moves.update({NAME: replace(world.moves[NAME], facts={})}), "never"),
    "verify old": (fact(verified_at=hours_ago(25)), "verified 25."),
    "verify differing": (fact(differing=3), "3 rows differed"),
    "rows": (lambda world, parts: parts.replication.filtering.append("crate is filtered"), "crate is filtered"),
    "columns": (lambda world, parts: parts.replication.drifted.append("crate.x is on one side only"), "crate.x"),
    "fences": (lambda world, parts: parts.replication.deviating.append(ASKEW), "service: a table was swapped"),
    "surroundings": (lambda world, parts: parts.replication.standing.append("crate has the rule x"), "the rule x"),
    "sequences": (lambda world, parts: parts.replication.unnumbered.append("crate.id: too small"), "too small"),
    "outward": (lambda world, parts: parts.replication.pointing.append(OUTWARD), "numbers-differ: crate.x"),
    "vacuum (monolith)": (lambda world, parts: parts.monolith.vacuumed.append("crate"), "vacuum of crate"),
    "vacuum (service)": (lambda world, parts: parts.service.vacuumed.append("crate"), "vacuum of crate"),
    "transactions (monolith)": (lambda world, parts: parts.monolith.busy.append(Busy(1.5)), "held by pid 7 (clerk)"),
    "transactions (service)": (lambda world, parts: parts.service.busy.append(Busy(9.0)), "held by pid 7 (clerk)"),
    "gateway": (lambda world, parts: world.agents.clear(), "no gateway agent"),
}


@pytest.mark.parametrize("name", SHUT)
def test_a_gate_that_is_shut_keeps_everything_as_it_is(name: str) -> None:
    world = moving()
    parts = parts_of(world)
    shut, found = SHUT[name]
    shut(world, parts)

    with pytest.raises(RefusedError) as caught:
        gates.pass_all(parts, world.moves[NAME], READY, deadline=time.monotonic())

    assert found in caught.value.message
    assert caught.value.place == "crates stays with the monolith"
    assert caught.value.remedy
    assert caught.value.message.count("gate ") == 1


def test_all_gates_are_open_for_a_move_in_good_health() -> None:
    world = moving()

    measured = gates.pass_all(parts_of(world), world.moves[NAME], READY, deadline=0)

    assert all(gate.open for gate in measured)
    assert [gate.name for gate in measured] == [
        "verify", "columns", "rows", "fences", "surroundings", "sequences", "deletions", "outward", "gateway",
        "forward stream", "forward errors", "lag", "reverse stream", "reverse errors", "vacuum (monolith)",
        "transactions (monolith)", "vacuum (service)", "transactions (service)", "depot ready", "events",
    ]  # fmt: skip


def test_the_lag_that_counts_is_that_of_the_owner_s_stream() -> None:
    world = moving(SERVICE)
    parts = parts_of(world)
    stream("forward", lag_bytes=2**30)(world, parts)

    gates.pass_all(parts, world.moves[NAME], READY, deadline=0)

    stream("reverse", lag_bytes=2**30)(world, parts)
    with pytest.raises(RefusedError, match="gate lag"):
        gates.pass_all(parts, world.moves[NAME], READY, deadline=0)


@pytest.mark.parametrize(("owner", "asked"), [(MONOLITH, "depot"), (SERVICE, "office")])
def test_who_will_own_must_be_ready(owner: str, asked: str) -> None:
    world = moving(owner)
    ready = {"depot": "answers 503", "office": "answers 503"}

    with pytest.raises(RefusedError, match=f"gate {asked} ready: answers 503"):
        gates.pass_all(parts_of(world), world.moves[NAME], ready.__getitem__, deadline=0)


def test_errors_that_the_last_verify_has_seen_do_not_count() -> None:
    world = moving()
    parts = parts_of(world)
    fact(errors={"forward": 2})(world, parts)
    stream("forward", errors=2)(world, parts)

    gates.pass_all(parts, world.moves[NAME], READY, deadline=0)


def busy_until(times: int, parts: Parts, then: Callable[[], object] = lambda: None) -> gates.Ready:
    """A transaction is in the way until readiness has been asked so many times; ``then`` happens together with its
    end."""
    parts.monolith.busy.append(Busy(2.0))
    left = iter(range(times - 1, -1, -1))

    def ready(_: str) -> None:
        if next(left, None) == 0:
            parts.monolith.busy.clear()
            then()

    return ready


def test_what_passes_by_itself_is_waited_for() -> None:
    world = moving()
    parts = parts_of(world)

    measured = gates.pass_all(
        parts, world.moves[NAME], busy_until(3, parts), deadline=time.monotonic() + LONG_ENOUGH_SECONDS
    )

    assert all(gate.open for gate in measured)


def test_what_does_not_open_by_itself_is_measured_before_and_after_a_wait_and_not_all_along(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = moving()
    parts = parts_of(world)
    asked: list[str] = []
    for question in ("outward", "cascades", "obstacles", "drift", "filters", "streams"):
        answer = getattr(parts.replication, question)
        monkeypatch.setattr(
            parts.replication, question, lambda question=question, answer=answer: [asked.append(question), answer()][1]
        )

    gates.pass_all(parts, world.moves[NAME], busy_until(3, parts), deadline=time.monotonic() + LONG_ENOUGH_SECONDS)

    assert Counter(asked) == dict.fromkeys(("outward", "cascades", "obstacles", "drift", "filters"), 2) | {"streams": 5}


def test_what_has_shut_for_good_during_a_wait_is_seen_at_its_end() -> None:
    world = moving()
    parts = parts_of(world)
    ready = busy_until(3, parts, then=lambda: parts.replication.pointing.append(OUTWARD))

    with pytest.raises(RefusedError, match="gate outward"):
        gates.pass_all(parts, world.moves[NAME], ready, deadline=time.monotonic() + LONG_ENOUGH_SECONDS)


def test_what_has_shut_again_while_all_was_measured_is_waited_for_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    world = moving()
    parts = parts_of(world)
    rounds = 0

    def outward() -> list[Finding]:
        nonlocal rounds
        rounds += 1
        if rounds == 2:
            parts.monolith.busy.append(Busy(2.0))
        return []

    monkeypatch.setattr(parts.replication, "outward", outward)
    first, then = busy_until(2, parts), iter(range(10))

    def ready(process: str) -> None:
        first(process)
        if rounds == 2 and next(then) == 2:
            parts.monolith.busy.clear()

    measured = gates.pass_all(parts, world.moves[NAME], ready, deadline=time.monotonic() + LONG_ENOUGH_SECONDS)

    assert all(gate.open for gate in measured)
    assert rounds == 3


def test_what_does_not_pass_by_itself_is_not_waited_for() -> None:
    world = moving()
    parts = parts_of(world)
    fact(differing=1)(world, parts)
    began = time.monotonic()

    with pytest.raises(RefusedError):
        gates.pass_all(parts, world.moves[NAME], READY, deadline=began + 60)

    assert time.monotonic() - began < 5


def test_what_somebody_has_to_do_something_about_is_not_waited_for() -> None:
    world = moving()

    measured = gates.measure(parts_of(world), world.moves[NAME], READY)

    assert [gate.name for gate in measured if not gate.opens_by_itself] == [
        "verify", "columns", "rows", "fences", "surroundings", "sequences", "deletions", "outward", "gateway",
    ]  # fmt: skip
    assert all(gate.opens_by_itself for gate in gates._passing(parts_of(world), world.moves[NAME], READY))


def test_a_switch_measures_its_gates_once(monkeypatch: pytest.MonkeyPatch) -> None:
    world = moving()
    parts = parts_of(world)
    asked: list[str] = []
    monkeypatch.setattr(parts.replication, "outward", lambda: [asked.append("outward"), []][1])
    parts.replication.deviating.append(replace(ASKEW, mendable=True, unproven=False))

    run_switch(parts, "switch")

    assert asked == ["outward"]


def test_what_a_switch_to_the_service_forbids_does_not_shut_the_way_back() -> None:
    world = moving(SERVICE)
    parts = parts_of(world)
    parts.replication.pointing.append(OUTWARD)

    gates.pass_all(parts, world.moves[NAME], READY, deadline=0)


def test_gates_that_are_shut_are_findings_of_the_error() -> None:
    world = moving()
    parts = parts_of(world)
    parts.replication.pointing.append(OUTWARD)
    stream("forward", active=False)(world, parts)

    with pytest.raises(RefusedError) as caught:
        gates.pass_all(parts, world.moves[NAME], READY, deadline=0)

    assert [one.id for one in caught.value.findings] == ["gate-outward", "gate-stream"]
    assert all(one.remedy for one in caught.value.findings)


def test_a_short_transaction_is_left_to_the_fence() -> None:
    world = moving()
    parts = parts_of(world)
    parts.monolith.busy.append(Busy(0.2))

    gates.pass_all(parts, world.moves[NAME], READY, deadline=0)


@pytest.mark.parametrize(("owner", "verb"), [(SERVICE, "switch"), (MONOLITH, "reverse")])
def test_a_side_that_owns_already_is_not_switched_to(owner: str, verb: str) -> None:
    world = moving(owner)

    with pytest.raises(RefusedError, match="owns it already"):
        plan(parts_of(world), verb, READY)


@pytest.mark.parametrize("state", [None, State.STARTING, State.COMPLETED, State.CANCELLING])
def test_a_move_in_another_state_is_not_switched(state: State | None) -> None:
    world = moving()
    if state is None:
        world.moves.clear()
    else:
        world.moves[NAME] = replace(world.moves[NAME], state=state)
    before = dict(world.moves)

    with pytest.raises(RefusedError, match="cannot switch: the move "):
        run_switch(parts_of(world), "switch")

    assert world.moves == before


@pytest.mark.parametrize("state", [State.SWITCHING, State.SETTLING])
def test_who_comes_second_is_told_of_the_command_at_work_and_not_of_an_interrupted_one(state: State) -> None:
    world = moving()
    first = Coordinator(world, lambda parts: run_switch(parts, "switch"))
    while world.moves[NAME].state is not state:
        assert not first.run(1)

    with pytest.raises(RefusedError, match="another command is at work"):
        plan(parts_of(world), "switch", READY)
    first.die()
    with pytest.raises(RefusedError, match="was interrupted in a switch"):
        plan(parts_of(world), "switch", READY)


def test_a_shut_gate_changes_nothing() -> None:
    world = moving()
    parts = parts_of(world)
    parts.replication.drifted.append("crate.x is on one side only")
    before = (dict(world.moves), {side: database.row for side, database in world.databases.items()})

    with pytest.raises(RefusedError):
        run_switch(parts, "switch")

    assert (dict(world.moves), {side: database.row for side, database in world.databases.items()}) == before
    assert world.locks == {}


@pytest.mark.parametrize("waits", [True, False])
def test_a_dry_run_says_whether_a_switch_would_wait(capsys: pytest.CaptureFixture[str], waits: bool) -> None:
    shut = gates.Gate("lag", open=False, found="2 s behind", remedy="wait", opens_by_itself=waits)

    _show_plan(parts_of(moving()), "switch", [shut], json_wanted=False)

    told = capsys.readouterr().out.splitlines()[-1]
    when = "would wait until --timeout, and then be refused" if waits else "would be refused"
    assert told == f"{when}: the gate lag is shut; nothing was changed"
