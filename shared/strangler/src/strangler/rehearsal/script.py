"""The script of a rehearsal: one line per step, either a verb of the tool or an amount of traffic.

::

    start notes
    verify notes
    traffic 500        # until 500 more requests have been answered
    switch notes
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from strangler.domain.errors import ConfigurationError, RefusedError
from strangler.domain.project import MONOLITH, SERVICE

TRAFFIC = "traffic"
CHANGES_OWNER = frozenset({"switch", "reverse"})
NOT_STARTED, COMPLETED = "not started", "completed"
TOLD = {
    NOT_STARTED: "not started",
    MONOLITH: "started, and the monolith's",
    SERVICE: "the service's",
    COMPLETED: "completed",
}
OF_ALL = frozenset({"retire"})  # verbs without a capability
VERBS = frozenset({"start", "verify", "complete", "cancel"}) | CHANGES_OWNER | OF_ALL


@dataclass(frozen=True, slots=True)
class ScriptStep:
    """A verb with its capability and options, or ``requests`` of traffic."""

    verb: str
    capability: str = ""
    options: tuple[str, ...] = ()
    requests: int = 0

    def __str__(self) -> str:
        if self.verb == TRAFFIC:
            return f"{TRAFFIC} {self.requests}"
        return " ".join(filter(None, (self.verb, self.capability, *self.options)))


def default(capabilities: Sequence[str]) -> list[ScriptStep]:
    """Moves each capability out, one after another; the first goes back and out again."""
    steps: list[ScriptStep] = []
    for place, capability in enumerate(capabilities):
        verbs = ["start", "verify", "switch"] + (["reverse", "switch"] if place == 0 else [])
        for verb in verbs:
            steps.append(ScriptStep(verb, capability))
            steps.append(ScriptStep(TRAFFIC, requests=300))
    return steps


def parse(text: str, *, place: str, capabilities: Collection[str]) -> list[ScriptStep]:
    """Reads a script; ``#`` begins a comment.

    Raises:
        ConfigurationError: naming ``place`` and the line.
    """
    steps = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split("#")[0].split()
        if words:
            steps.append(_step(words, place=f"{place}:{number}", capabilities=capabilities))
    if not steps:
        raise ConfigurationError(
            "the script is empty", place=place, remedy="write a step a line: `start NAME`", id="scenario"
        )
    return steps


# What a verb needs and what it makes, of: not started, the monolith's, the service's, completed.
BEGUN = frozenset({MONOLITH, SERVICE, COMPLETED})
NEEDS: Mapping[str, frozenset[str]] = {
    "start": frozenset({NOT_STARTED}),
    "verify": BEGUN,
    "switch": frozenset({MONOLITH}),
    "reverse": frozenset({SERVICE}),
    "complete": frozenset({SERVICE, COMPLETED}),
    "cancel": frozenset({MONOLITH}),
}
MAKES = {
    "start": MONOLITH,
    "switch": SERVICE,
    "reverse": MONOLITH,
    "complete": COMPLETED,
    "cancel": NOT_STARTED,
}


def require_possible(steps: Sequence[ScriptStep], present: Mapping[str, str]) -> None:
    """Refuses a script that would stop at a step.

    ``present`` says of each capability where it begins: not started, at the monolith, at the service, or completed.

    Raises:
        RefusedError: naming the step, and what is in its way.
    """
    states = dict(present)
    for step in steps:
        if step.verb in OF_ALL:
            left = sorted(name for name, state in states.items() if state != COMPLETED)
            if left:
                raise _impossible(step, f"{', '.join(left)} would not be completed by then")
        if step.verb in NEEDS:
            state = states.get(step.capability, NOT_STARTED)
            if state not in NEEDS[step.verb]:
                raise _impossible(step, f"{step.capability} would be {TOLD[state]} by then")
            states[step.capability] = MAKES.get(step.verb, state)


def _impossible(step: ScriptStep, why: str) -> RefusedError:
    return RefusedError(
        why,
        place=f"the script's step `{step}`",
        remedy="change the script, or bring the moves to where it begins: see `strangler status`; nothing was started",
        id="scenario",
    )


def _step(words: Sequence[str], *, place: str, capabilities: Collection[str]) -> ScriptStep:
    verb, *rest = words
    if verb == TRAFFIC:
        if len(rest) != 1 or not rest[0].isdecimal():
            raise ConfigurationError("how much traffic?", place=place, remedy="write `traffic 500`", id="scenario")
        return ScriptStep(TRAFFIC, requests=int(rest[0]))
    if verb not in VERBS:
        known = ", ".join(sorted(VERBS | {TRAFFIC}))
        raise ConfigurationError(f"no such step: {verb}", place=place, remedy=f"use one of {known}", id="scenario")
    if verb in OF_ALL:
        return ScriptStep(verb, options=tuple(rest))
    if not rest or rest[0] not in capabilities:
        raise ConfigurationError(
            f"{verb} needs a capability",
            place=place,
            remedy=f"name one of strangler.toml: {', '.join(sorted(capabilities))}",
            id="scenario",
        )
    return ScriptStep(verb, rest[0], tuple(rest[1:]))
