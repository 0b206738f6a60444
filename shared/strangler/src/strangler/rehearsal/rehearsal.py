"""A whole rehearsal: traffic, script, drain, proof."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from strangler.domain.errors import StranglerError
from strangler.domain.project import MONOLITH
from strangler.rehearsal import journal
from strangler.rehearsal.conduct import Conductor
from strangler.rehearsal.history import gather
from strangler.rehearsal.ports import Bounces, Damage, Sides, Traffic, Verbs
from strangler.rehearsal.proof import DRAIN_SECONDS, Drain, owners, prove, spoil
from strangler.rehearsal.report import Evidence
from strangler.rehearsal.script import ScriptStep

LEAD_IN_REQUESTS = 200  # requests before the first step


@dataclass(frozen=True, slots=True)
class Aim:
    """The least amount of each: requests and seconds of traffic, and acknowledged writes to the
    capabilities that move."""

    requests: int
    seconds: float
    writes: int


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything outside that a rehearsal uses.

    ``rows`` gives the database of a capability's side; ``capabilities`` are all that can move;
    ``drained_within`` bounds, in seconds, the wait for equal databases.
    """

    capabilities: Sequence[str]
    traffic: Traffic
    journals: Sequence[Path]
    verbs: Verbs
    bounces: Bounces
    sides: Sides
    rows: Callable[[str, str], Damage]
    writers: int
    broker: str
    monolith: Callable[[], str]
    drained_within: float = DRAIN_SECONDS


def rehearse(
    stage: Stage, steps: Sequence[ScriptStep], aim: Aim, *, say: Callable[[str], None], began: float
) -> Evidence:
    """Plays the script under the traffic, ends the traffic, and gathers the evidence.

    ``say`` is called with each phase; ``began`` is when the rehearsal began, in monotonic seconds.

    A step that fails ends the script, but not the rehearsal: the writes until then are checked.
    """
    conductor = Conductor(stage.traffic, stage.verbs, stage.bounces, say, stage.writers)
    problems = _play(conductor, steps, aim)
    moving = _moving(steps)
    say("drain")
    drain = Drain(conductor.verify, within=stage.drained_within)
    drain.run([name for name, open_ended in moving.items() if open_ended])
    say("check")
    records = journal.read(*stage.journals)
    histories = gather(records.attempts)
    owned, wrong = owners(stage.capabilities, stage.sides)
    rows = {
        place.capability: stage.rows(place.capability, owned.get(place.capability, MONOLITH)) for place in histories
    }
    findings = prove(histories, rows, within=stage.drained_within)
    say("self-test")
    return Evidence(
        seconds=time.monotonic() - began,
        requests=stage.traffic.totals().requests,
        records=records,
        findings=findings,
        changes=conductor.changes,
        moving=list(moving),
        differing=drain.differing,
        owners=owned,
        broker=stage.broker,
        monolith=stage.monolith(),
        self_test=spoil(histories, rows, findings),
        problems=[*problems, *drain.problems, *wrong],
        wanted_writes=aim.writes,
    )


def _play(conductor: Conductor, steps: Sequence[ScriptStep], aim: Aim) -> list[str]:
    began = time.monotonic()
    problems = []
    try:
        conductor.say("lead-in")
        conductor.pass_requests(LEAD_IN_REQUESTS)
        conductor.conduct(steps)
        conductor.say("lead-out")
        conductor.traffic.wait(
            lambda totals: totals.requests >= aim.requests and time.monotonic() - began >= aim.seconds,
            within=conductor.patience + aim.seconds,
        )
    except StranglerError as error:
        problems.append(str(error))
    conductor.say("end of traffic")
    problems += [f"a process of the traffic ended with exit code {code}" for code in conductor.traffic.end() if code]
    return problems


def _moving(steps: Sequence[ScriptStep]) -> Mapping[str, bool]:
    """The capabilities that the script moves, and for each whether both sides can still be compared at the end."""
    moving: dict[str, bool] = {}
    for step in steps:
        if step.capability:
            moving[step.capability] = step.verb not in ("complete", "cancel")
    return moving
