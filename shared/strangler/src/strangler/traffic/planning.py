"""Finds what each request needs and leaves: whose account, which thing of an earlier answer, which rows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from strangler.domain.project import Project
from strangler.domain.route import VARIABLE
from strangler.traffic import deciding, leaving, naming, things
from strangler.traffic.accounts import account_of, kept, opens, registers
from strangler.traffic.known import Kept, Known, Of, Open, Request, Unknown, capability_of, leaves
from strangler.traffic.steps import Account, Step, Thing

ENDS = re.compile(r"(log|sign)[_-]?(out|off)/?$", re.IGNORECASE)


@dataclass(slots=True)
class Plan:
    """What the file will hold. ``questions`` are for a person, ``left_out`` counts requests of no capability,
    ``farewell`` is the step by which an account ends, and a rehearsal waits for the ``decisions``."""

    known: Known
    account: Account
    steps: list[Step]
    things: list[Thing]
    questions: list[str]
    left_out: int
    farewell: Step | None = None
    decisions: Sequence[Open] = ()

    @property
    def keeps_login(self) -> bool:
        """Whether some request sends what the answer of the login had."""
        return any(isinstance(leaf, Kept) for step in self.steps for _, leaf in leaves(step.request.body))

    @property
    def reads_pages(self) -> bool:
        """Whether some request needs what a page has."""
        forms = any(step.request.form_page for step in self.steps)
        return forms or any(each.shown and each.shown.kind != "location" for each in self.things)

    def ender(self, thing: Thing) -> Step | None:
        """The step after which a thing of a visit's own is no more at work; None if none was seen, or it may be
        refused."""
        fitting = (
            step
            for step in self.steps
            if step.on is thing and thing.made and step.ends and step.request.method == "POST"
            and step.request.rows is not None and 409 not in step.request.expected
            and step.staff == thing.staff
        )  # fmt: skip
        return next(fitting, None)

    def writers(self, capability: str) -> list[Step]:
        """The steps by which a writer keeps writing: those of ordinary accounts, otherwise those of staff."""
        found = [
            step
            for step in self.steps
            if step.checked and step.request.method != "DELETE" and step.request.capability == capability
        ]
        return [step for step in found if not step.staff] or found


def plan(known: Known, project: Project) -> Plan:
    """Everything that can be made of what is known, and a question for what cannot."""
    questions: list[str] = list(known.notes)
    requests, left_out = _chosen(known, project)
    # Where only staff was seen at work, any account will do that the environment names.
    if not any(request.access == "account" for request in requests):
        for request in requests:
            request.access = request.access and "account"
    account = account_of(known, requests)
    if account.login:
        for request in requests:
            request.body = kept(request.body, account.login.request)
    shown = list(things.things_of(requests))
    getting_in = [step.request for step in (account.register, account.login) if step]
    steps = []
    for request in requests:
        if request not in getting_in:
            step, why = _step(request, account, shown)
            steps += [step] if step else []
            questions += [] if step else [f"{request}: {why}"]
    steps = _reachable(steps, questions)
    naming.name(steps)
    opened = [*deciding.opened(steps)]
    _leave(known, project, account, steps, questions)
    steps, farewell = _without_doubtful(steps, account, questions)
    account.needed = any(step.request.access for step in steps) or account.login is not None
    account.staff = any(step.staff for step in steps)
    used = {id(thing) for step in steps for thing in (step.on, *step.of.values())}
    used |= {id(each) for each in shown if farewell and each.attribute in {one.each for one in farewell.leaves}}
    for step in steps:
        step.keeps = step.gives is not None and id(step.gives) in used
    kept_ones = [each for each in shown if id(each) in used]
    asked = [each.request for each in steps]
    decisions = [each for each, request in opened if any(request is one for one in asked)]
    found = Plan(known, account, steps, kept_ones, questions, left_out, farewell, decisions)
    questions += _uncovered(project, found, requests)
    return found


def _without_doubtful(steps: Sequence[Step], account: Account, questions: list[str]) -> tuple[list[Step], Step | None]:
    """The steps without deletions of which nobody knows what goes with them; and the one by which an account ends."""
    found: list[Step] = []
    farewell = None
    for step in steps:
        if step.request.method != "DELETE":
            found.append(step)
        elif step.on is None and step.leaves and account.register and farewell is None:
            farewell = step
        elif step.on is None:
            questions.append(f"{step.request}: not asked, for what goes with it, and is it the client's own?")
        elif step.request.capability and not step.leaves:
            questions += [f"{step.request}: not asked, for {remark.removeprefix('? ')}" for remark in step.remarks]
        else:
            found.append(step)
    return found, farewell


def _chosen(known: Known, project: Project) -> tuple[list[Request], int]:
    """The requests of the capabilities, and those by which one gets in; each path once."""
    found: dict[tuple[str, str], Request] = {}
    left_out = 0
    for request in known.requests:
        request.capability = capability_of(project, request.method, request.path)
        if _hidden(project, request.path):
            continue
        if request.capability or opens(request) or registers(request):
            found.setdefault(request.shape, request)
        else:
            left_out += 1
    return list(found.values()), left_out


def _hidden(project: Project, path: str) -> bool:
    """Whether nobody asks it from outside."""
    return any(re.fullmatch(_glob(each), VARIABLE.sub("1", path)) for each in project.gateway.hidden)


def _glob(path: str) -> str:
    return re.escape(path.removesuffix("*")) + (".*" if path.endswith("*") else "(?:/.*)?")


def _uncovered(project: Project, found: Plan, requests: Sequence[Request]) -> Iterator[str]:
    """The routes of the capabilities that are in no request, and the capabilities that no writer writes."""
    for name, capability in project.capabilities.items():
        for route in capability.routes:
            if _hidden(project, route.path):
                continue
            asked = {each.method for each in requests if re.fullmatch(route.pattern, VARIABLE.sub("1", each.path))}
            left = sorted(route.methods - asked) if route.methods else [] if asked else ["*"]
            if left:
                yield f"{','.join(left)} {route.path}: of {name}, and {found.known.source} does not have it"
        if not found.writers(name):
            yield f"{name}: no request is known of which one can see what it leaves, so its writers have nothing to do"


def _step(request: Request, account: Account, shown: Sequence[Thing]) -> tuple[Step | None, str]:
    """The step, or why there is none."""
    if why := _obstacle(request, account):
        return None, why
    step = Step("", request, weight=max(1, request.count))
    if VARIABLE.search(request.path):
        step.on = things.on(request, shown)
        if step.on is None:
            whose = "makes" if request.writes else "shows or makes"
            return None, f"nothing that a client can do {whose} what its path names"
    of = {}
    for place, leaf in leaves(request.body):
        if isinstance(leaf, Of):
            thing = things.named(leaf, shown, staff=request.access == "staff")
            if thing is None and not request.writes:
                return None, f"which {leaf.word}? Nothing that a client can ask shows one"
            if thing is None:
                continue
            of["".join(f'["{part}"]' if isinstance(part, str) else f"[{part}]" for part in place)] = thing
    step.of = of
    if request.method in ("GET", "POST"):
        step.gives = next((each for each in shown if each.giver is request), None)
    return step, ""


def _obstacle(request: Request, account: Account) -> str:
    """Why nobody can tell how the request is made; empty if nothing stands in its way."""
    if doubts := [*request.doubts, *(["it ends what the client is logged in by"] if ENDS.search(request.path) else [])]:
        return "; ".join(doubts)
    sent = [] if request.writes else [*leaves(request.body)]
    for _, leaf in [*sent, *leaves(dict(request.headers))]:
        if isinstance(leaf, Unknown):
            return leaf.why
    for place, leaf in leaves(request.body):
        if isinstance(leaf, Kept) and account.login is None:
            return f"{'.'.join(map(str, place))} is of a login that is not known"
    if request.form and request.body is not None and not _flat(request.body):
        return "its form has fields within fields, which a scenario does not send"
    return ""


def _flat(body: Any) -> bool:
    return isinstance(body, dict) and not any(
        isinstance(one, dict | list) for each in body.values() for one in (each if isinstance(each, list) else [each])
    )


def _reachable(steps: list[Step], questions: list[str]) -> list[Step]:
    """Those whose things some step gives; a list of what belongs to a thing needs that thing, and so on."""
    while True:
        given = {id(step.gives) for step in steps if step.gives}
        lost = [
            step
            for step in steps
            if any(thing and (id(thing) not in given or thing is step.gives) for thing in (step.on, *step.of.values()))
        ]
        if not lost:
            return steps
        questions += [f"{step.request}: what it needs comes from a request that is not asked" for step in lost]
        steps = [step for step in steps if step not in lost]


def _leave(known: Known, project: Project, account: Account, steps: Sequence[Step], questions: list[str]) -> None:
    """The rows of each write: those of makers first, for others find them by the same key."""
    tables = leaving.Tables(known.tables, project, known.unsteady)
    if account.register:
        account.row = leaving.of_account(account.register.request, account.identity, tables)
        account.register.leaves = [account.row] if account.row else []
        if account.row is None and known.tables:
            questions.append(f"{account.register.request}: which row does it leave?")
    changing = [step for step in steps if step.request.method in ("PATCH", "PUT")]
    for step in steps:
        if step.gives and step.gives.made and step.request.writes:
            changed = {
                str(place[0])
                for each in changing
                if each.on is step.gives
                for place, _ in leaves(each.request.body)
                if place
            }
            step.leaves, step.remarks = leaving.of_creation(step.request, step.gives.refers, changed, tables)
            if step.leaves:
                step.gives.table = step.leaves[0].table
    made = [step.gives for step in steps if step.gives and step.gives.made]
    for step in steps:
        if not step.request.writes or (step.gives and step.gives.made):
            continue
        row = step.on.table if step.on and step.on.made else ""
        if step.request.method == "DELETE":
            step.leaves, step.remarks = leaving.of_deletion(
                step.request,
                step.on.one if step.on else "",
                row,
                account.row,
                tables,
                made=[(each.table, each.attribute) for each in made],
            )
        else:
            step.leaves, step.remarks = leaving.of_change(
                step.request, step.on.one if step.on else "", row, account.row, tables
            )
