"""A whole rehearsal on a small service, with verbs that only claim to move something."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from notes import Service
from servers import Connection
from strangler.domain.move import SideRow
from strangler.rehearsal.adapters.crew import Assignment
from strangler.rehearsal.adapters.crews import Crews
from strangler.rehearsal.adapters.rows import PostgresRows
from strangler.rehearsal.journal import Failure, Records
from strangler.rehearsal.ports import Ran
from strangler.rehearsal.proof import owner_of
from strangler.rehearsal.rehearsal import Aim, Stage, rehearse
from strangler.rehearsal.report import Evidence, details, grouped, problems, report, table
from strangler.rehearsal.script import ScriptStep

HERE = Path(__file__).parent
ANSWERS: Mapping[str, Mapping[str, Any]] = {
    "start": {"rows": 10, "copy_rows_per_s": 1000.4},
    "verify": {"verified_rows": 20, "verify_rows_per_s": 2000, "differing": 0},
    "switch": {"pause_ms": 12.34, "tries": 2, "since_lift_ms": 0.5, "owner": "service"},
    "reverse": {"pause_ms": 9.0, "tries": 1, "since_lift_ms": 0.5, "owner": "monolith"},
}
SCRIPT = [
    ScriptStep("start", "notes"),
    ScriptStep("verify", "notes"),
    ScriptStep("switch", "notes"),
    ScriptStep("reverse", "notes"),
]


@dataclass
class SpokenVerbs:
    """Answers like the verbs; ``failing`` is how many times each fails first."""

    failing: dict[str, int] = field(default_factory=dict)
    ran: list[str] = field(default_factory=list)

    def run(self, *words: str, within: float) -> Ran:
        self.ran.append(" ".join(words))
        now = time.monotonic_ns()
        if self.failing.get(words[0], 0):
            self.failing[words[0]] -= 1
            return Ran(1, {}, "a gate is shut", now, now)
        answer = {"lifted_at": datetime.now(UTC).isoformat(), **ANSWERS[words[0]]}
        return Ran(0, answer, "", now, time.monotonic_ns())


class UnknownBounces:
    def count(self) -> None:
        return None


@dataclass
class GrowingBounces:
    step: int = 3
    total: int = 0

    def count(self) -> int:
        self.total += self.step
        return self.total


class SteadyFloors:
    def measure(self, capability: str) -> float:
        return 7.77


class OpenSides:
    def rows(self, capability: str) -> list[SideRow]:
        return [
            SideRow("notes", "monolith", 3, True, 0, None),
            SideRow("notes", "service", 3, False, 0, None),
        ]


Play = Callable[..., Evidence]


@pytest.fixture
def play(service: Service, connection: Connection, tmp_path: Path) -> Iterator[Play]:
    assignments = [
        Assignment(
            root=str(HERE),
            scenario="notes:Readers",
            run="run",
            gateway=service.address,
            journal=str(tmp_path / f"journal-{process}"),
            process=process,
            processes=2,
            clients=3,
            writers=4,
            think=0.01,
        )
        for process in range(2)
    ]
    with (tmp_path / "log").open("wb") as log, Crews(assignments, errors=log) as traffic:

        def on(steps: list[ScriptStep] = SCRIPT, writes: int = 1, **parts: Any) -> Evidence:
            stage = Stage(
                capabilities=["notes"],
                traffic=traffic,
                journals=[Path(one.journal) for one in assignments],
                verbs=parts.get("verbs", SpokenVerbs()),
                bounces=parts.get("bounces", GrowingBounces()),
                floors=SteadyFloors(),
                sides=OpenSides(),
                rows=lambda capability, side: PostgresRows(connection),
                writers=8,
                broker="rabbitmq",
                monolith=lambda: "running",
                drained_within=0.5,
            )
            return rehearse(stage, steps, Aim(300, 0, writes), say=lambda _: None, began=time.monotonic())

        yield on


def test_a_rehearsal_in_which_all_went_well_is_reported_field_by_field(play: Play) -> None:
    verbs = SpokenVerbs()

    content = report(play(verbs=verbs))

    assert list(content) == [
        "ok",
        "seconds",
        "requests",
        "failed",
        "acknowledged_writes",
        "lost",
        "doubled",
        "broker",
        "moves",
        "owners",
        "monolith",
    ]
    assert content["ok"], content
    assert content["requests"] >= 300
    assert content["acknowledged_writes"] > 100
    assert (content["failed"], content["lost"], content["doubled"]) == (0, 0, 0)
    assert content["owners"] == {"notes": "monolith"}
    switch, reverse = content["moves"]
    assert reverse["verb"] == "reverse"
    client_pause = switch["client_pause_ms"]
    quiet_gap = switch["quiet_gap_ms"]
    assert 0 < client_pause < 30_000
    assert 0 < quiet_gap < 30_000
    assert switch == {
        "capability": "notes",
        "verb": "switch",
        "tries": 2,
        "pause_ms": 12.3,
        "floor_ms": 7.8,
        "client_pause_ms": client_pause,
        "quiet_gap_ms": quiet_gap,
        "rows": 10,
        "copy_rows_per_s": 1000,
        "verified_rows": 20,
        "verify_rows_per_s": 2000,
        "differing": 0,
        "bounced": 3,
    }
    assert "switch notes" in table(content)
    assert "switch notes --yes" in verbs.ran


def test_a_service_that_loses_doubles_and_fails_is_found_out(play: Play, service: Service) -> None:
    # More than one of each, for a note that is deleted later takes the traces with it.
    service.faults = ["redirect", "hang up", *("lose", "double") * 4]

    evidence = play()

    content = report(evidence)
    assert not content["ok"]
    assert content["failed"] == 2
    assert 0 < content["lost"] <= 4
    assert 0 < content["doubled"] <= 4
    assert json.loads(json.dumps(details(evidence)))["lost"][0]["found"] == []


def test_traffic_that_can_prove_nothing_is_told_before_anything_is_moved(play: Play, service: Service) -> None:
    service.faults = ["hang up"] * 10_000
    verbs = SpokenVerbs()

    evidence = play(verbs=verbs)

    assert "requests failed:" in problems(evidence)[0]
    assert "× POST /notes" in problems(evidence)[0]
    assert [ran for ran in verbs.ran if not ran.startswith("verify")] == []


def test_failures_that_look_the_same_are_one_line() -> None:
    failures = [
        Failure("c", f"GET /notes/{number}?x={number}", f"answered 503: {{'id': {number}}}", 1) for number in range(7)
    ]

    told = grouped(Records((), (*failures, Failure("c", "POST /notes", "timed out", 2))))

    assert told == ["7 × GET /notes/{}: answered 503: {'id': 0}", "1 × POST /notes: timed out"]


def test_a_switch_that_no_request_met_proves_nothing(play: Play) -> None:
    reasons = problems(play(bounces=GrowingBounces(step=0)))

    assert "switch notes proved nothing: no request met the fence" in reasons


def test_where_the_gateway_cannot_be_asked_what_met_the_fence_is_not_known_and_no_fault(play: Play) -> None:
    evidence = play(bounces=UnknownBounces())

    assert problems(evidence) == []
    content = report(evidence)
    assert content["moves"][0]["bounced"] is None
    assert " -  " in table(content)


def test_too_few_writes_prove_nothing(play: Play) -> None:
    (reason,) = problems(play(writes=10**6))

    assert reason.startswith("proved too little: ")


def test_a_switch_that_is_refused_once_is_tried_again(play: Play) -> None:
    evidence = play(verbs=SpokenVerbs(failing={"switch": 1}))

    assert problems(evidence) == []
    assert details(evidence)["attempts"] == [2, 1]


def test_a_step_that_fails_ends_the_script_but_not_the_check(play: Play) -> None:
    verbs = SpokenVerbs(failing={"start": 1})

    evidence = play(verbs=verbs)

    assert problems(evidence)[0].startswith("strangler start notes: failed with exit code 1: a gate is shut")
    assert verbs.ran == ["start notes", "verify notes"]
    assert evidence.findings == []
    assert evidence.self_test.passed


def test_without_a_move_the_traffic_alone_is_checked(play: Play) -> None:
    evidence = play(steps=[], writes=10**6)

    assert problems(evidence) == []
    assert report(evidence)["moves"] == []


@pytest.mark.parametrize(
    ("opened", "owner", "problem"),
    [
        pytest.param((True, False), "monolith", None, id="the monolith"),
        pytest.param((False, True), "service", None, id="the service"),
        pytest.param((False, False), "service", "notes is owned by nobody", id="nobody"),
        pytest.param((True, True), "service", "notes is owned by monolith and service", id="both"),
    ],
)
def test_an_owner_is_the_one_side_that_is_open(opened: tuple[bool, bool], owner: str, problem: str | None) -> None:
    sides = [
        SideRow("notes", "monolith", 1, opened[0], 0, None),
        SideRow("notes", "service", 2, opened[1], 0, None),
    ]

    assert owner_of("notes", sides) == (owner, problem)


def test_the_monolith_owns_what_was_never_moved() -> None:
    assert owner_of("notes", []) == ("monolith", None)
