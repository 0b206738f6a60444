"""A whole rehearsal: traffic, script, drain, proof."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from strangler.domain.errors import StranglerError
from strangler.domain.project import MONOLITH
from strangler.rehearsal import journal
from strangler.rehearsal.conduct import Conductor, RehearsalError
from strangler.rehearsal.history import confusions, gather
from strangler.rehearsal.ports import Bounces, Damage, Floors, Sides, Traffic, Verbs
from strangler.rehearsal.proof import DRAIN_SECONDS, Drain, owners, prove, spoil
from strangler.rehearsal.report import Evidence, grouped
from strangler.rehearsal.script import ScriptStep
from strangler.rehearsal.selftest import SelfTest, self_test

LEAD_IN_REQUESTS = 200  # requests before the first step
PLACE = "before the first step"
TRIES, BETWEEN_TRIES_REQUESTS = 3, 50
SHOWN = 5  # kinds of failures in an error


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
    floors: Floors
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
    conductor = Conductor(stage.traffic, stage.verbs, stage.bounces, stage.floors, say, stage.writers)
    problems = _play(conductor, steps, aim, lambda: _presume(stage, conductor.pass_requests))
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
        problems=[*problems, *drain.problems, *wrong, *confusions(records.attempts)],
        wanted_writes=aim.writes,
    )


def _presume(stage: Stage, pass_requests: Callable[[int], None]) -> None:
    """Looks, before anything is moved, whether this traffic can prove anything.

    Raises:
        RehearsalError: most of the first requests failed, none of them wrote, one row is written by several keys, or
            the checker could not see damage.
    """
    totals = stage.traffic.totals()
    records = journal.read(*stage.journals)
    if totals.failed * 2 > totals.requests:
        reasons = "".join(f"\n    {each}" for each in grouped(records)[:SHOWN])
        raise RehearsalError(
            f"{totals.failed} of the first {totals.requests} requests failed:{reasons}",
            place=PLACE,
            remedy="mend the scenario, or what it talks to: nothing was moved",
        )
    if not any(attempt.writes for attempt in records.attempts):
        raise RehearsalError(
            f"none of the first {totals.requests} requests wrote anything",
            place=PLACE,
            remedy="let the scenario's clients write early, and name their `writes`: nothing was moved",
        )
    _require_one_key(records)
    # A row that a client deletes at this moment is in the way of a try, and not of the next one.
    for left in reversed(range(TRIES)):
        tested = _tested(stage)
        # With so few rows it may yet pass at the end.
        if tested.passed or all("are needed" in each for each in tested.obstacles):
            return
        if left:
            pass_requests(BETWEEN_TRIES_REQUESTS)
    raise RehearsalError(
        f"the checker would not see damage: {tested}",
        place=PLACE,
        remedy="write a table whose key is not unique, with values beside the key: nothing was moved",
    )


def _require_one_key(records: journal.Records) -> None:
    """Otherwise rows that are there count as lost at the end."""
    if confused := confusions(records.attempts):
        raise RehearsalError(
            "the checker cannot tell which row a write is of: " + "; ".join(confused),
            place=PLACE,
            remedy="find a row by the same key in all its writes, and change no column of it: nothing was moved",
        )


def _tested(stage: Stage) -> SelfTest:
    histories = gather(journal.read(*stage.journals).attempts)
    owned, _ = owners(stage.capabilities, stage.sides)
    rows = {at.capability: stage.rows(at.capability, owned.get(at.capability, MONOLITH)) for at in histories}
    return self_test(histories, rows, under_traffic=True)


def _play(conductor: Conductor, steps: Sequence[ScriptStep], aim: Aim, presume: Callable[[], None]) -> list[str]:
    began = time.monotonic()
    problems = []
    try:
        conductor.say("lead-in")
        conductor.pass_requests(LEAD_IN_REQUESTS)
        presume()
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
