"""`status` and `doctor` look, and change nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from moves import NAME, moving, parts_of
from strangler.application.doctor import Finding, examine
from strangler.application.status import status
from strangler.domain.errors import ConfigurationError
from strangler.domain.findings import Finding as Named
from strangler.domain.findings import Severity
from strangler.domain.move import Deviation
from strangler.domain.phase import State
from strangler.domain.project import MONOLITH, SERVICE
from strangler.ports.examination import Stray
from strangler.ports.side import LostError
from strangler.testing import World

Parts = Any
OUTWARD = Named("numbers-differ", Severity.ERROR, "there", "5 means another row", "number it anew")
ASKEW = Deviation(SERVICE, "the fence is off", "see who has done it", mendable=True)


@dataclass
class Found:
    """An examination whose findings are given."""

    left: list[tuple[str, str]] = field(default_factory=list)
    wal: list[tuple[str, str]] = field(default_factory=list)
    behind: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    strayed: list[Stray] = field(default_factory=list)
    known: set[str] | None = None

    def leavings(self, known: set[str]) -> list[tuple[str, str]]:
        self.known = known
        return self.left

    def retained(self) -> list[tuple[str, str]]:
        return self.wal

    def sequences_behind(self, capability: str, owner: str) -> list[tuple[str, str]]:
        return [(f"{each} of the {owner}", "SELECT setval") for each in self.behind]

    def unplaced(self) -> list[str]:
        return self.lost

    def strays(self, capability: str) -> list[Stray]:
        return self.strayed

    def close(self) -> None: ...


def findings(parts: Parts, **found: Any) -> list[tuple[str, str]]:
    return [(finding.id, finding.message) for finding in examine([parts], Found(**found))]


def in_state(state: State, owner: str = MONOLITH) -> tuple[World, Parts]:
    world = moving(owner)
    world.moves[NAME] = replace(world.moves[NAME], state=state)
    return world, parts_of(world)


@pytest.mark.parametrize(
    ("state", "owner", "facts", "phase", "next_verbs"),
    [
        (State.STARTING, MONOLITH, {}, "starting", ["start", "cancel"]),
        (State.MOVING, MONOLITH, {}, "streaming", ["verify", "cancel"]),
        (State.MOVING, MONOLITH, {"verified_at": "now", "differing": 2}, "streaming", ["verify", "cancel"]),
        (State.MOVING, MONOLITH, {"verified_at": "now", "differing": 0}, "verified", ["verify", "switch", "cancel"]),
        (State.MOVING, SERVICE, {}, "streaming", ["verify", "complete"]),
        (State.MOVING, SERVICE, {"verified_at": "now", "differing": 0}, "switched", ["verify", "reverse", "complete"]),
        (State.SWITCHING, MONOLITH, {}, "switching", []),
        (State.SETTLING, SERVICE, {}, "settling", []),
        (State.CANCELLING, MONOLITH, {}, "cancelling", ["cancel"]),
    ],
)
def test_the_phase_and_what_can_follow(
    state: State, owner: str, facts: dict[str, object], phase: str, next_verbs: list[str]
) -> None:
    world, parts = in_state(state, owner)
    world.moves[NAME] = replace(world.moves[NAME], facts=facts)

    found = status(parts)

    assert (found.phase, found.owner, found.next, found.problems) == (phase, owner, next_verbs, [])
    assert found.verified == facts


def test_a_completed_move_can_be_verified_and_dropped() -> None:
    _, parts = in_state(State.COMPLETED, SERVICE)

    assert "complete --drop" in status(parts).next

    parts.replication.referring.append("entry.crate")
    assert "complete --drop" not in status(parts).next


def test_what_has_been_dropped_needs_nothing_more() -> None:
    _, parts = in_state(State.COMPLETED, SERVICE)
    parts.replication.is_dropped = True

    assert status(parts).next == []


def test_before_a_move_the_monolith_owns() -> None:
    found = status(parts_of(World()))

    assert (found.phase, found.owner, found.epoch, found.next) == ("not started", MONOLITH, 0, ["start"])
    assert found.routes == ["GET,POST /crates"]


def test_everything_observed_is_told() -> None:
    world = moving()
    parts = parts_of(world)
    parts.replication.queued.update(waiting=1, failing=0, swept=5)
    parts.ledger.note_step(NAME, "copy rows", epoch=1)

    found = status(parts)

    assert found.step == "copy rows"
    assert found.sides == {
        MONOLITH: {"open": True, "epoch": 1, "bounce_to": None, "events_held": False},
        SERVICE: {"open": False, "epoch": 1, "bounce_to": MONOLITH, "events_held": False},
    }
    assert [stream["direction"] for stream in found.streams] == ["forward", "reverse"]
    assert found.orphans == {"waiting": 1, "failing": 0, "swept": 5}
    assert found.gateway == {"agent": 1}


def break_stream(**changes: object) -> Callable[[World, Parts], None]:
    def change(world: World, parts: Parts) -> None:
        parts.replication.running["forward"] = replace(parts.replication.running["forward"], **changes)

    return change


def open_both(world: World, parts: Parts) -> None:
    row = world.databases[SERVICE].row
    assert row is not None
    world.databases[SERVICE].row = replace(row, open=True)


def close_both(world: World, parts: Parts) -> None:
    row = world.databases[MONOLITH].row
    assert row is not None
    world.databases[MONOLITH].row = replace(row, open=False)


def away(world: World, parts: Parts) -> None:
    def raise_lost() -> None:
        raise LostError("the server went away")

    parts.sides[SERVICE].row = raise_lost
    parts.replication.streams = raise_lost


@pytest.mark.parametrize(
    ("damage", "problems"),
    [
        (break_stream(active=False), ["the forward stream does not run"]),
        (break_stream(lost=True), ["the forward stream is lost"]),
        (open_both, ["two owners"]),
        (close_both, ["no owner"]),
        (away, ["service: the server went away", "the server went away"]),
    ],
)
def test_problems_are_part_of_the_answer(damage: Callable[[World, Parts], None], problems: list[str]) -> None:
    world = moving()
    parts = parts_of(world)
    damage(world, parts)

    found = status(parts)

    assert found.problems == problems
    assert found.phase == "moving, with problems"


def test_a_closed_owner_is_no_problem_in_a_switch() -> None:
    world, parts = in_state(State.SWITCHING)
    close_both(world, parts)

    assert status(parts).problems == []


@pytest.mark.parametrize("state", [State.MOVING, State.STARTING])
def test_doctor_is_content_with_a_move_in_good_health(state: State) -> None:
    _, parts = in_state(state)

    assert findings(parts) == []


def test_doctor_is_content_where_nothing_moves() -> None:
    found = Found()

    assert examine([parts_of(World())], found) == []
    assert found.known == set()


def test_doctor_knows_the_moves_that_there_are() -> None:
    found = Found()

    examine([parts_of(moving())], found)

    assert found.known == {NAME}


def test_a_start_without_fences_has_no_owner_to_look_for() -> None:
    world = World()
    parts = parts_of(world)
    parts.ledger.begin(NAME)

    assert findings(parts) == []


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (open_both, ("owner", "open on both sides: monolith, service")),
        (close_both, ("owner", "open on no side")),
        (break_stream(exists=False), ("stream", "the forward stream is lost")),
        (break_stream(lost=True), ("stream", "the forward stream is lost")),
        (break_stream(active=False), ("stream", "the forward stream does not run")),
        (lambda world, parts: parts.replication.drifted.append("crate.x"), ("drift", "crate.x")),
        (lambda world, parts: parts.replication.deviating.append(ASKEW), ("standing", "service: the fence is off")),
        (lambda world, parts: parts.replication.pointing.append(OUTWARD), ("numbers-differ", "5 means another row")),
    ],
)
def test_doctor_finds_what_is_wrong_with_a_move(
    damage: Callable[[World, Parts], None], expected: tuple[str, str]
) -> None:
    world = moving()
    parts = parts_of(world)
    damage(world, parts)

    assert findings(parts) == [expected]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({"left": [("yard", "slot x")]}, ("leaving", "slot x")),
        ({"wal": [("yard", "slot x has no reader")]}, ("wal", "slot x has no reader")),
        ({"behind": ["crate.id"]}, ("sequence", "crate.id of the monolith")),
        ({"lost": ["crate_9"]}, ("unplaced", "no capability has it and it is not listed as staying")),
    ],
)
def test_doctor_tells_what_the_databases_show(found: dict[str, Any], expected: tuple[str, str]) -> None:
    assert findings(parts_of(moving()), **found) == [expected]


def test_doctor_tells_no_warning_of_what_points_outward() -> None:
    parts = parts_of(moving())
    parts.replication.pointing.append(replace(OUTWARD, severity=Severity.WARNING))

    assert findings(parts) == []


def test_doctor_names_place_and_remedy() -> None:
    parts = parts_of(moving())
    parts.replication.drifted.append("crate.x is on one side only")

    assert examine([parts], Found()) == [
        Finding("drift", NAME, "crate.x is on one side only", "migrate the side that is behind")
    ]


def test_doctor_tells_a_missing_table_as_a_finding() -> None:
    parts = parts_of(moving())

    def missing() -> list[str]:
        raise ConfigurationError("there is no table crate", place="strangler.toml", remedy="run its migrations")

    parts.replication.drift = missing

    assert findings(parts) == [("drift", "there is no table crate")]


def test_doctor_does_not_miss_what_an_end_has_taken_away() -> None:
    _, parts = in_state(State.COMPLETED, SERVICE)
    parts.replication.end_forward()
    assert findings(parts) == []

    parts.replication.drop_old()
    assert findings(parts) == []


def test_doctor_names_the_route_of_a_write_that_can_never_succeed() -> None:
    _, parts = in_state(State.MOVING, SERVICE)
    stray = Stray("monolith", "GET", "/visits/<int:pk>", 12, datetime(2026, 3, 4, 5, 6, tzinfo=UTC))

    [finding] = examine([parts], Found(strayed=[stray]))

    assert (finding.id, finding.place) == ("write-from-a-staying-route", NAME)
    for told in ("GET /visits/<int:pk> wrote a table of", "12 times", "2026-03-04 05:06 UTC"):
        assert told in finding.message
