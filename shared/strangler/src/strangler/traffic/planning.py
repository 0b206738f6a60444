"""Finds what each request needs and leaves: whose account, which thing of an earlier answer, which rows.

Note "things": what a path or a body names by an id. A client may write only what it has made itself, for a row belongs
to one client; it may read what a list has shown. So a thing comes from the request that makes it, or from a list.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from strangler.domain.project import Project
from strangler.domain.route import VARIABLE
from strangler.traffic import leaving
from strangler.traffic.known import (
    IDENTITIES,
    Kept,
    Known,
    Of,
    Request,
    Secret,
    Text,
    Unknown,
    capability_of,
    leaves,
    plain,
    results,
    singular,
)
from strangler.traffic.leaving import Leaving

TOKENS = ("access", "access_token", "token", "key", "auth_token", "jwt", "id_token")
IDS = ("id", "uuid", "pk", "slug", "code", "key")
VERBS = {"GET": "see", "POST": "create", "PUT": "replace", "PATCH": "change", "DELETE": "delete"}
VERSION = re.compile(r"v\d+|api|rest")


@dataclass(slots=True)
class Thing:
    """What a visit keeps of one collection. ``made``: by the visit itself, with the key by which its row is found."""

    name: str
    path: str  # of the collection, up to the variable
    made: bool
    id_name: str
    table: str = ""
    staff: bool = False

    @property
    def attribute(self) -> str:
        return f"made_{self.name}" if self.made else self.name

    @property
    def one(self) -> str:
        return singular(self.name)


@dataclass(slots=True)
class Step:
    """A request as a method of a visit. ``on`` is the thing that its path names, ``of`` those that its body names,
    ``gives`` what its answer adds."""

    name: str
    request: Request
    on: Thing | None = None
    gives: Thing | None = None
    of: Mapping[str, Thing] = field(default_factory=dict)
    leaves: Sequence[Leaving] = ()
    remarks: list[str] = field(default_factory=list)
    weight: int = 1
    keeps: bool = True  # whether something asks for what it gives

    @property
    def checked(self) -> bool:
        return bool(self.leaves)

    @property
    def staff(self) -> bool:
        return self.request.access == "staff"


@dataclass(slots=True)
class Account:
    """How a visit comes to its rights. Without ``login`` the environment has the whole header, unless ``page`` is where
    a session begins."""

    register: Step | None = None
    login: Step | None = None
    token: Sequence[str | int] = ()
    identity: str = "email"
    page: str = ""
    needed: bool = False
    staff: bool = False
    row: Leaving | None = None


@dataclass(slots=True)
class Plan:
    """What the file will hold. ``questions`` are a person's to answer, ``left_out`` counts requests of no capability."""

    known: Known
    account: Account
    steps: list[Step]
    things: list[Thing]
    questions: list[str]
    left_out: int
    farewell: Step | None = None

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
    requests, left_out = _chosen(known, project, questions)
    account = _account(known, requests)
    if account.login:
        for request in requests:
            request.body = _kept(request.body, account.login.request)
    things = list(_things(requests))
    reached = [each for each in requests if not (_is(account.register, each) or _is(account.login, each))]
    steps, farewell = [], None
    usable: dict[int, Step | None] = {}
    for request in reached:
        step, why = _step(request, account, things, known)
        usable[id(request)] = step
        if step is None:
            questions.append(f"{request}: {why}")
        else:
            steps.append(step)
    steps = _reachable(steps, questions)
    _name([*steps, *filter(None, (account.register, account.login))])
    _leave(known, project, account, steps, questions)
    for step in list(steps):
        if step.request.method == "DELETE" and step.on is None:
            steps.remove(step)
            if step.leaves and account.register and farewell is None:
                farewell = step
            else:
                questions.append(f"{step.request}: what goes with it, and is it the client's own?")
        elif step.request.method == "DELETE" and step.request.capability and not step.leaves:
            steps.remove(step)
            questions += [f"{step.request}: not asked, for {remark}" for remark in step.remarks]
    account.needed = any(step.request.access for step in steps) or (account.login is not None)
    account.staff = any(step.staff for step in steps)
    used = {id(thing) for step in steps for thing in (step.on, *step.of.values())}
    used |= {id(each) for each in things if farewell and each.attribute in {one.each for one in farewell.leaves}}
    for step in steps:
        step.keeps = step.gives is not None and id(step.gives) in used
    found = Plan(
        known, account, steps, [each for each in things if id(each) in used], questions, left_out, farewell
    )
    questions += _uncovered(project, found)
    return found


def _chosen(known: Known, project: Project, questions: list[str]) -> tuple[list[Request], int]:
    """The requests of the capabilities, and those by which one gets in; each path once."""
    found: dict[tuple[str, str], Request] = {}
    left_out = 0
    for request in known.requests:
        request.capability = capability_of(project, request.method, request.path)
        if _hidden(project, request.path):
            continue
        if request.capability or _opens(request) or _registers(request):
            found.setdefault(request.shape, request)
        else:
            left_out += 1
    return list(found.values()), left_out


def _hidden(project: Project, path: str) -> bool:
    """Whether nobody asks it from outside."""
    return any(re.fullmatch(_glob(each), VARIABLE.sub("1", path)) for each in project.gateway.hidden)


def _glob(path: str) -> str:
    return re.escape(path.removesuffix("*")) + (".*" if path.endswith("*") else "(?:/.*)?")


def _uncovered(project: Project, found: Plan) -> Iterator[str]:
    """The routes of the capabilities that no step asks."""
    asked = [step.request for step in found.steps]
    asked += [step.request for step in (found.account.register, found.account.login, found.farewell) if step]
    told = " ".join(found.questions)
    for name, capability in project.capabilities.items():
        for route in capability.routes:
            if _hidden(project, route.path):
                continue
            for method in sorted(route.methods) or ["*"]:
                if any(
                    method in ("*", each.method)
                    and re.fullmatch(route.pattern, VARIABLE.sub("1", each.path))
                    for each in asked
                ):
                    continue
                # One of them has its own question already.
                if f"{method} {plain(route.path)}:" not in plain(told):
                    yield f"{method} {route.path}: {found.known.source} does not have it, and it belongs to {name}"
    for name in project.capabilities:
        if not found.writers(name):
            yield f"{name}: no request is known of which it can be seen what it leaves, so its writers have nothing to do"


# Accounts


def _secret(request: Request) -> bool:
    return request.method == "POST" and any(isinstance(leaf, Secret) for _, leaf in leaves(request.body))


def _identity(request: Request) -> str | None:
    names = {str(place[-1]): leaf for place, leaf in leaves(request.body) if place}
    return next((name for name in IDENTITIES if isinstance(names.get(name), Text | str)), None)


def _token(request: Request) -> Sequence[str | int] | None:
    found = {str(place[-1]): place for place, _ in leaves(request.answer) if place}
    return next((found[name] for name in TOKENS if name in found), None)


def _opens(request: Request) -> bool:
    """Whether it is a login: a password for a token, or for a session."""
    if not _secret(request) or _identity(request) is None:
        return False
    return _token(request) is not None or (request.form and 302 in request.expected and "log" in request.path)


def _registers(request: Request) -> bool:
    return _secret(request) and _identity(request) is not None and not request.access and not _opens(request)


def _kept(body: Any, login: Request) -> Any:
    """The body; a token to refresh is that of the login."""
    if not isinstance(body, dict) or not isinstance(login.answer, dict):
        return body
    return {
        name: Kept(name) if isinstance(leaf, Text) and name.startswith("refresh") and name in login.answer else leaf
        for name, leaf in body.items()
    }


def _account(known: Known, requests: Sequence[Request]) -> Account:
    """The shortest paths win: a login beside others is often an admin's."""
    ordered = sorted(requests, key=lambda each: len(each.path))
    login = next((each for each in ordered if _opens(each)), None)
    register = next((each for each in ordered if _registers(each) and (each.rows is None or _makes_row(each))), None)
    account = Account(page=known.login if login is None and known.scheme == "" else "")
    # Who registers has to get in: a login that no one knows needs an account that is there.
    if login is None or (register and _identity(register) is None):
        register = None if login is None else register
    if login:
        account.login = Step("log_in", login)
        account.token = _token(login) or ()
        account.identity = _identity(login) or "email"
        if not account.token:
            account.page = login.path
    if register and login:
        account.register = Step("register", register)
        names = {str(place[-1]) for place, _ in leaves(register.body) if place}
        if account.identity not in names:
            account.identity = _identity(register) or account.identity
    return account


def _makes_row(request: Request) -> bool:
    return any(row.kind == "insert" for row in request.rows or ())


def _is(step: Step | None, request: Request) -> bool:
    return step is not None and step.request is request


# Things


def _things(requests: Sequence[Request]) -> Iterator[Thing]:
    """All that paths with a variable, or bodies, could name."""
    items: dict[str, list[Request]] = {}
    for request in requests:
        for found in VARIABLE.finditer(request.path):
            items.setdefault(plain(request.path[: found.start()]), []).append(request)
    names: set[str] = set()
    for request in requests:
        collection = plain(request.path)
        found = results(request.answer)[1]
        naming = items.get(collection, [])
        makes = request.method == "POST" and not _secret(request)
        if not (makes or request.method == "GET") or (not naming and not makes and found is None):
            continue
        if request.method == "GET" and found is None and request.answer is not None:
            continue
        id_name = _id_name(request, naming)
        if id_name is None:
            continue
        word = next((each for each in reversed(request.path.split("/")) if each and "{" not in each), "things")
        name = _identifier(word)
        if makes and naming == [] and singular(name) == name:
            continue  # an action: what it answers is no new thing of a collection
        mark = f"{name} {makes}"
        if mark in names:
            name = _identifier("_".join([*filter(_speaks, request.path.split("/"))][-2:]))
        names.add(f"{name} {makes}")
        path = (naming[0].path if naming else request.path.rstrip("/") + "/").partition("{")[0]
        yield Thing(name, collection, makes, id_name, staff=makes and request.access == "staff") if path else None


def _speaks(part: str) -> bool:
    return bool(part) and "{" not in part and not VERSION.fullmatch(part)


def _id_name(request: Request, naming: Sequence[Request]) -> str | None:
    """What the answer calls the id by which paths name the thing."""
    shown = request.made
    if not isinstance(shown, dict):
        return None if request.answer is not None else "id"
    named = [each.id_name for each in naming if each.id_name]
    called = [found[0].strip("{}") for each in naming if (found := VARIABLE.findall(each.path))]
    return next((name for name in [*named, *called, *IDS] if name in shown), None)


def _identifier(text: str) -> str:
    found = re.sub(r"\W+", "_", text.lower()).strip("_")
    return found if found and not found[0].isdigit() else f"part_{found}"


# Steps


def _step(request: Request, account: Account, things: Sequence[Thing], known: Known) -> tuple[Step | None, str]:
    """The step, or why there is none."""
    if request.unknown_body:
        return None, "a log has no bodies: which does it take? (--openapi FILE says it)"
    if request.doubts and (refused := [doubt for doubt in request.doubts if "answered with" in doubt or "?" in doubt or "files" in doubt]):
        return None, "; ".join(refused)
    for place, leaf in [*leaves(request.body), *leaves(dict(request.headers))]:
        if isinstance(leaf, Unknown):
            return None, leaf.why
        if isinstance(leaf, Kept) and account.login is None:
            return None, f"{'.'.join(map(str, place))} is of a login that is not known"
    if request.form and not _flat(request.body):
        return None, "its form has several values of one name, which a scenario does not send"
    step = Step("", request, weight=max(1, request.count))
    if VARIABLE.search(request.path):
        thing = _on(request, things)
        if thing is None:
            whose = "makes" if request.writes else "shows or makes"
            return None, f"nothing that a client can do {whose} what its path names"
        step.on = thing
    of = {}
    for place, leaf in leaves(request.body):
        if isinstance(leaf, Of):
            thing = _named(leaf.word, things, staff=request.access == "staff")
            if thing is None:
                return None, f"which {leaf.word}? Nothing that a client can ask shows one"
            of[_written(place)] = thing
    step.of = of
    for thing in things:
        if thing.path == plain(request.path) and thing.made == (request.method == "POST") and request.method in ("GET", "POST"):
            step.gives = thing
    return step, ""


def _flat(body: Any) -> bool:
    return isinstance(body, dict) and not any(isinstance(each, dict | list) for each in body.values())


def _on(request: Request, things: Sequence[Thing]) -> Thing | None:
    """The thing that the last variable of the path names."""
    last = [*VARIABLE.finditer(request.path)][-1]
    collection = plain(request.path[: last.start()])
    fitting = [each for each in things if each.path == collection]
    made = [each for each in fitting if each.made and (not each.staff or request.access == "staff")]
    return next(iter(made or ([] if request.writes else [each for each in fitting if not each.made])), None)


def _named(word: str, things: Sequence[Thing], *, staff: bool) -> Thing | None:
    stem = singular(re.sub(r"(_id|Id|_uuid|_pk|_slug)$", "", word))
    stem = re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", stem).lower()
    fitting = [each for each in things if each.one == stem or each.one.endswith(f"_{stem}")]
    fitting = [each for each in fitting if not each.staff or staff]
    return next(iter(sorted(fitting, key=lambda each: each.made)), None)


def _written(place: tuple[str | int, ...]) -> str:
    return "".join(f"[{part!r}]".replace("'", '"') for part in place)


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


def _name(steps: Sequence[Step]) -> None:
    taken: set[str] = {"register", "log_in", "arrive", "new", "any"}
    for step in steps:
        if step.name:
            continue
        words = [_identifier(part) for part in step.request.path.split("/") if _speaks(part)] or ["root"]
        after = step.request.path.rpartition("}")[2].strip("/")
        method = step.request.method
        if step.on and after and method == "POST" and not step.gives:
            name = f"{_identifier(after)}_{step.on.one}"
        elif method == "GET" and results(step.request.answer)[1] is not None:
            name = f"list_{words[-1]}"
        elif (step.on and not after) or (method == "POST" and step.gives):
            name = f"{VERBS[method]}_{singular(words[-1])}"
        else:
            name = f"{VERBS[method] if method != 'POST' else 'send'}_{'_'.join(words[-2:])}"
        count = 2
        while name in taken:
            longer = f"{name.partition('_')[0]}_{'_'.join(words)}"
            name = longer if longer not in taken else f"{longer}_{count}"
            count += 1
        taken.add(name)
        step.name = name


# What is left


def _leave(
    known: Known, project: Project, account: Account, steps: Sequence[Step], questions: list[str]
) -> None:
    """The rows of each write: those of makers first, for others find them by the same key."""
    tables = leaving.Tables(known.tables, project)
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
            step.leaves, step.remarks = leaving.of_creation(step.request, step.gives.id_name, changed, tables)
            if step.leaves:
                step.gives.table = step.leaves[0].table
    made = [step.gives for step in steps if step.gives and step.gives.made]
    for step in steps:
        if not step.request.writes or (step.gives and step.gives.made):
            continue
        row = step.on.table if step.on and step.on.made else ""
        if step.request.method == "DELETE":
            step.leaves, step.remarks = leaving.of_deletion(
                step.request, step.on.one if step.on else "", row, account.row, [(each.table, each.attribute) for each in made], tables
            )
        else:
            step.leaves, step.remarks = leaving.of_change(
                step.request, step.on.one if step.on else "", row, account.row, tables
            )


def merge(known: Known, document: Known) -> Known:
    """What the document has of the requests that are known by their log: bodies, answers and rights."""
    by_shape = {each.shape: each for each in document.requests}
    merged = []
    for request in known.requests:
        other = by_shape.get(request.shape)
        if other is None or (request.body is not None and not request.unknown_body):
            merged.append(request)
            continue
        seen = [doubt for doubt in request.doubts if "answered with" in doubt]
        expected = tuple(dict.fromkeys([*(() if seen else request.expected), *other.expected]))
        merged.append(
            replace(other, path=request.path, count=request.count, expected=expected, doubts=[*other.doubts, *seen])
        )
    return replace(
        known,
        source=f"{known.source} and {document.source}",
        requests=merged,
        scheme=known.scheme if known.scheme is not None else document.scheme,
        header=document.header,
    )
