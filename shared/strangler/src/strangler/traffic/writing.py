"""The scenario's text: plain code in the project's own name, which ruff and a reader take as it is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from strangler.domain.words import counted
from strangler.traffic.layout import Group, group, spread, wrapped
from strangler.traffic.planning import Plan
from strangler.traffic.steps import Step
from strangler.traffic.variables import Variables
from strangler.traffic.visiting import VisitText

NAMES = ("Behaviour", "Columns", "Operation", "delete", "insert", "update")
HEAD = (
    "It is yours now. `strangler traffic draft` has asked no request; each comment that begins with a question mark is "
    "a question to you."
)


def text(plan: Plan, *, project: str, name: str) -> str:
    """The whole file."""
    return "\n".join(_Writer(plan, project, name).lines()) + "\n"


class _Writer:
    def __init__(self, plan: Plan, project: str, name: str) -> None:
        self.plan = plan
        self.project = project
        self.name = name
        self.account = plan.account
        self.variables = Variables(plan, project)

    def lines(self) -> Iterator[str]:
        body = [*VisitText(self.plan).lines(), "", "", *self._scenario()]
        settings = [*self._environment(), *self._shares()]
        yield f'"""Traffic of {self.project}, for `strangler rehearse`: drafted from {self.plan.known.source}.'
        yield ""
        yield from wrapped(HEAD, "")
        yield '"""'
        yield ""
        yield from self._imports("\n".join(body))
        yield from self._questions()
        yield from settings
        yield from ("", "")
        yield from body

    def _imports(self, body: str) -> Iterator[str]:
        yield "from __future__ import annotations"
        yield ""
        if self.variables.names:
            yield "import os"
        yield "from random import Random"
        typing = [word for word in ("Any", "NamedTuple") if re.search(rf"\b{word}\b", body)]
        if typing:
            yield f"from typing import {', '.join(typing)}"
        if "UUID(" in body:
            yield "from uuid import UUID"
        yield ""
        used = [each for each in NAMES if re.search(rf"\b{each}\b", body)]
        yield from spread("from strangler.domain.traffic import ", used)
        yield ""

    def _questions(self) -> Iterator[str]:
        for question in self.plan.questions:
            yield from wrapped(f"? {question}", "# ")
        if self.plan.left_out:
            more = counted(self.plan.left_out, "more request")
            yield f"# Left out: {more} of {self.plan.known.source}, of no route of a capability."
        if self.plan.questions or self.plan.left_out:
            yield ""

    def _environment(self) -> Iterator[str]:
        for name, variable in self.variables.names.items():
            yield f'{name} = os.environ.get("{variable}", "")'
        wanted = [name for name in self.variables.names if not name.startswith("STAFF_")]
        if wanted:
            named = " and ".join(self.variables.names[each] for each in wanted)
            yield f"if not ({' and '.join(wanted)}):" if len(wanted) > 1 else f"if not {wanted[0]}:"
            yield f'    raise ValueError("set {named}: {self.variables.told[self.variables.names[wanted[0]]]}")'
        if self.variables.names:
            yield ""

    def _shares(self) -> Iterator[str]:
        ordinary = [each for each in self.plan.steps if not each.staff]
        yield from _weights("STEPS", ordinary, "How often each is done, in a hundred.")
        if self.account.staff:
            staff = [each for each in self.plan.steps if each.staff]
            variable = self.variables.names[self.variables.staff]
            yield from _weights("STAFF_STEPS", staff, f"The same for staff, if {variable} names an account.")
        yield "# What a writer does: nothing but write, and each write can be seen in the database."
        capabilities = dict.fromkeys(step.request.capability for step in self.plan.steps if step.request.capability)
        items = [
            (f'"{name}": ', Group("[", [("", f'"{one.name}"') for one in self.plan.writers(name)], "]"))
            for name in capabilities
        ]
        # Where none is known the type is not to be guessed.
        some = any(each.items for _, each in items)
        yield from group("WRITES = " if some else "WRITES: dict[str, list[str]] = ", Group("{", items, "}"), 0)

    # The scenario

    def _scenario(self) -> Iterator[str]:
        staff = self.account.staff
        mark = self.variables.staff
        yield f"class {self.name}:"
        yield '    """Clients who do what was seen, each as often as it was seen."""'
        yield ""
        yield "    def __init__(self, run: str) -> None:"
        yield "        self.run = run"
        yield ""
        yield "    def client(self, number: int, rng: Random) -> Behaviour:"
        if staff:
            yield f"        staff = bool({mark}) and number % 5 == 0"
            yield "        visit = Visit(self.run, number, rng, staff=staff)"
            yield "        steps = STAFF_STEPS if staff else STEPS"
        else:
            yield "        visit = Visit(self.run, number, rng)"
            yield "        steps = STEPS"
        yield "        yield from visit.arrive()"
        yield "        for name in rng.choices(list(steps), list(steps.values()), k=rng.randint(15, 40)):"
        yield "            yield from getattr(visit, name)()"
        if self.plan.farewell:
            who = "not staff and " if staff else ""
            yield f"        if {who}number % 7 == 0:"
            yield f"            yield from visit.{self.plan.farewell.name}()"
        yield ""
        yield "    def writer(self, capability: str, number: int, rng: Random) -> Behaviour:"
        if staff:
            yield "        writes = WRITES.get(capability, [])"
            yield "        staff = any(name in STAFF_STEPS for name in writes)"
            yield f"        if not writes or (staff and not {mark}):"
            yield "            return"
            yield "        visit = Visit(self.run, number, rng, staff=staff)"
        else:
            yield "        writes = WRITES.get(capability, [])"
            yield "        if not writes:"
            yield "            return"
            yield "        visit = Visit(self.run, number, rng)"
        yield "        yield from visit.arrive()"
        yield "        while True:"
        yield "            yield from getattr(visit, rng.choice(writes))()"


def _weights(name: str, steps: Sequence[Step], said: str) -> Iterator[str]:
    total = sum(each.weight for each in steps) or 1
    shares = [(f'"{each.name}": ', str(max(1, round(100 * each.weight / total)))) for each in steps]
    yield f"# {said}"
    if shares:
        yield from group(f"{name} = ", Group("{", shares, "}"), 0)
    else:
        yield f"{name}: dict[str, int] = {{}}"
