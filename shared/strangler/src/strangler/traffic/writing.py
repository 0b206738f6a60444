"""The scenario's text: plain code in the project's own name, which ruff and a reader take as it is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from strangler.domain.words import counted
from strangler.traffic.layout import Group, group, quoted, spread, wrapped
from strangler.traffic.planning import Plan
from strangler.traffic.steps import Step
from strangler.traffic.variables import Variables
from strangler.traffic.visiting import VisitText

NAMES = (
    "Answer", "Behaviour", "Columns", "Operation", "decided", "delete", "insert", "undecided", "update",
)  # fmt: skip
PAGES = ("Page", "in_location", "led_to")
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
        settings = [*self._decisions(), *self._environment(), *self._shares()]
        yield f'"""Traffic of {self.project}, for `strangler rehearse`: drafted from {self.plan.known.source}.'
        yield ""
        yield from wrapped(HEAD, "")
        yield '"""'
        yield ""
        yield from self._imports("\n".join([*settings, *body]))
        yield from self._questions()
        yield from settings
        yield from ("", "")
        yield from body

    def _imports(self, body: str) -> Iterator[str]:
        yield "from __future__ import annotations"
        yield ""
        if self.variables.names:
            yield "import os"
        if "Generator[" in body:
            yield "from collections.abc import Generator"
        yield "from random import Random"
        typing = [word for word in ("Any", "NamedTuple") if re.search(rf"\b{word}\b", body)]
        if typing:
            yield f"from typing import {', '.join(typing)}"
        if "UUID(" in body:
            yield "from uuid import UUID"
        yield ""
        if pages := [each for each in PAGES if _is_in(each, body)]:
            yield from spread("from strangler.domain.pages import ", pages)
        used = [each for each in NAMES if _is_in(each, body)]
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

    def _decisions(self) -> Iterator[str]:
        if not self.plan.decisions:
            return
        yield "# What only you can tell: in place of each `undecided(…)` write a value, or a function of the visit such"
        yield '# as `lambda visit: f"A {visit.number}"`. Until then a rehearsal is refused.'
        for each in self.plan.decisions:
            yield from group(f"{each.name} = ", Group("undecided(", [("", quoted(each.question))]), 0)
        yield ""

    def _environment(self) -> Iterator[str]:
        for name, variable in self.variables.names.items():
            yield f'{name} = os.environ.get("{variable}", "")'
        wanted = [name for name in self.variables.names if not name.startswith("STAFF_")]
        if wanted:
            named = " and ".join(self.variables.names[each] for each in wanted)
            yield f"if not ({' and '.join(wanted)}):" if len(wanted) > 1 else f"if not {wanted[0]}:"
            said = f"set {named}: {self.variables.told[self.variables.names[wanted[0]]]}"
            yield from group("    raise ", Group("ValueError(", [("", quoted(said))]), 4)
        if self.variables.names:
            yield ""

    def _shares(self) -> Iterator[str]:
        ordinary = [each for each in self.plan.steps if not each.staff]
        yield from _weights("STEPS", ordinary, "How often each is done, in a hundred.")
        if self.account.staff:
            staff = [each for each in self.plan.steps if each.staff]
            variable = self.variables.names[self.variables.staff]
            yield from _weights("STAFF_STEPS", staff, f"The same for staff, if {variable} names an account.")
        if any(self.plan.ender(each) for each in self.plan.things):
            yield "# How many things a client keeps before it ends the oldest."
            yield "HELD = 3"
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
        leaves = any(self.plan.ender(each) for each in self.plan.things)
        if self.plan.farewell:
            who = "not staff and " if staff else ""
            yield f"        if {who}number % 7 == 0:"
            yield f"            yield from visit.{self.plan.farewell.name}()"
            if leaves:
                yield "        else:"
        if leaves:
            yield f"{'    ' if self.plan.farewell else ''}        yield from visit.leave()"
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


def _is_in(name: str, code: str) -> bool:
    """Whether the code has the name by itself, and not as a method or in a comment's words."""
    return re.search(rf"(?<![\w.]){name}" + (r"\(" if name.islower() else r"\b"), code) is not None


def _weights(name: str, steps: Sequence[Step], said: str) -> Iterator[str]:
    total = sum(each.weight for each in steps) or 1
    shares = [(f'"{each.name}": ', str(max(1, round(100 * each.weight / total)))) for each in steps]
    yield f"# {said}"
    if shares:
        yield from group(f"{name} = ", Group("{", shares, "}"), 0)
    else:
        yield f"{name}: dict[str, int] = {{}}"
