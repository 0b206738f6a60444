"""Carries out a script's steps under the traffic, and measures each change of owner."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from strangler.domain.errors import StranglerError
from strangler.rehearsal.ports import Bounces, Floors, Ran, Totals, Traffic, Verbs
from strangler.rehearsal.script import CHANGES_OWNER, TRAFFIC, ScriptStep

CONFIRMED = CHANGES_OWNER | {"complete", "cancel", "retire"}
ATTEMPTS = 3
BETWEEN_ATTEMPTS_REQUESTS = 200
LONG_SECONDS = 1800.0  # for a verb that reads every row
WARM_WRITES = 5  # acknowledged writes of each writer, before and after a change of owner


class RehearsalError(StranglerError):
    """The rehearsal could not be carried out to its end."""

    exit_code = 1
    id = "rehearsal"


@dataclass(frozen=True, slots=True)
class Change:
    """A change of owner as its verb reported it, and when the clients saw it, in monotonic nanoseconds.

    ``shut`` is when the door was first shut to new writes, or earlier where the verb was run several times:
    ``attempts``. ``lifted`` is when the new owner was open. At ``quiet_from`` began an equally long time in which the
    same writers wrote and nothing was switched; ``floor_ms`` was measured after it, and is None if it could not be.
    """

    capability: str
    verb: str
    pause_ms: float
    tries: int
    bounced: int | None
    shut: int
    lifted: int
    quiet_from: int
    attempts: int
    floor_ms: float | None = None
    copied: Mapping[str, Any] = field(default_factory=dict)
    verified: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Conductor:
    """Takes the steps one by one; ``changes`` grows with them."""

    traffic: Traffic
    verbs: Verbs
    bounces: Bounces
    floors: Floors
    say: Callable[[str], None]
    writers: int
    patience: float = 120.0
    changes: list[Change] = field(default_factory=list)
    _copied: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    _verified: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def conduct(self, steps: Sequence[ScriptStep]) -> None:
        """Raises RehearsalError at the first step that does not succeed."""
        for step in steps:
            self.say(str(step))
            if step.verb == TRAFFIC:
                self.pass_requests(step.requests)
            elif step.verb in CHANGES_OWNER:
                self._change_owner(step)
            else:
                self._run_plain(step)

    def pass_requests(self, requests: int) -> None:
        """Waits until ``requests`` more requests have been answered."""
        goal = self.traffic.totals().requests + requests
        self.traffic.wait(lambda totals: totals.requests >= goal, within=self.patience)

    def verify(self, capability: str) -> Ran:
        """Compares both databases; a difference is not an error here."""
        ran = self.verbs.run("verify", capability, within=LONG_SECONDS)
        if ran.answer:
            self._verified[capability] = ran.answer
            self._amend(capability, ran.answer)
        return ran

    def _run_plain(self, step: ScriptStep) -> None:
        ran = self._run(step)
        if ran.code != 0:
            raise _failed(step, ran)
        if step.verb == "start":
            self._copied[step.capability] = ran.answer
        if step.verb == "verify":
            self._verified[step.capability] = ran.answer

    def _change_owner(self, step: ScriptStep) -> None:
        """Tries a few times: a shut gate, or a switch that was undone within its budget, does no harm."""
        self.traffic.set_writers(step.capability)
        self._await_writers()
        began = time.monotonic_ns()
        for attempt in range(1, ATTEMPTS + 1):
            before = self.bounces.count()
            ran = self._run(step)
            self._await_writers()
            if ran.code == 0:
                after = self.bounces.count()
                bounced = None if before is None or after is None else after - before
                self.changes.append(self._changed(step, ran, bounced=bounced, attempts=attempt, began=began))
                return
            self.say(f"{step}: attempt {attempt} failed: {ran.errors.strip()}")
            self.pass_requests(BETWEEN_ATTEMPTS_REQUESTS)
        raise _failed(step, ran)

    def _await_writers(self, writes: int = WARM_WRITES) -> None:
        """Waits until every writer has written a few more times."""
        before = self.traffic.totals().writers

        def all_wrote(totals: Totals) -> bool:
            wrote = [count - before.get(name, 0) >= writes for name, count in totals.writers.items()]
            return wrote.count(True) >= self.writers

        self.traffic.wait(all_wrote, within=self.patience)

    def _pass_time(self, nanoseconds: int) -> None:
        until = time.monotonic_ns() + nanoseconds
        self.traffic.wait(lambda _: time.monotonic_ns() >= until, within=nanoseconds / 1e9 + self.patience)

    def _run(self, step: ScriptStep) -> Ran:
        confirmed = ("--yes",) if step.verb in CONFIRMED else ()
        words = [word for word in (step.verb, step.capability) if word]
        within = LONG_SECONDS if step.verb in ("start", "verify") else self.patience
        return self.verbs.run(*words, *step.options, *confirmed, within=within)

    def _changed(self, step: ScriptStep, ran: Ran, *, bounced: int | None, attempts: int, began: int) -> Change:
        pause_ms = float(ran.answer["pause_ms"])
        lifted = _monotonic(ran.answer["lifted_at"])
        # A run that failed has not said when it shut the door.
        shut = lifted - int(pause_ms * 1e6) if attempts == 1 else began
        quiet_from = time.monotonic_ns()
        self._pass_time(quiet_from - shut)
        # The last gap of that time ends with a write after it.
        self._await_writers(1)
        floor_ms = self.floors.measure(step.capability)
        self.traffic.set_writers(None)
        return Change(
            capability=step.capability,
            verb=step.verb,
            pause_ms=pause_ms,
            tries=int(ran.answer["tries"]),
            bounced=bounced,
            shut=shut,
            lifted=lifted,
            quiet_from=quiet_from,
            attempts=attempts,
            floor_ms=floor_ms,
            copied=self._copied.get(step.capability, {}),
            verified=self._verified.get(step.capability, {}),
        )

    def _amend(self, capability: str, verified: Mapping[str, Any]) -> None:
        """Adds a verify to the last change of the capability before it."""
        for place, change in reversed(list(enumerate(self.changes))):
            if change.capability == capability:
                self.changes[place] = replace(change, verified=verified)
                return


def _monotonic(at: str) -> int:
    """A time of now in monotonic nanoseconds."""
    ago = datetime.now(UTC) - datetime.fromisoformat(at)
    return time.monotonic_ns() - ago // timedelta(microseconds=1) * 1000


def _failed(step: ScriptStep, ran: Ran) -> RehearsalError:
    return RehearsalError(
        f"failed with exit code {ran.code}: {ran.errors.strip() or 'no message'}",
        place=f"strangler {step}",
        remedy="see its messages above; run it by hand on a stack kept with --keep",
    )
