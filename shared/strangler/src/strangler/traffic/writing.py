"""The scenario's text: plain code in the project's own name, which ruff and a reader take as it is."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from strangler.domain.route import VARIABLE
from strangler.traffic.known import Kept, Of, Secret, Text, leaves, results
from strangler.traffic.leaving import Leaving
from strangler.traffic.planning import Plan, Step, Thing

WIDTH = 118
LONGEST = 120
SHORT = 88  # imports fit into what ruff allows without a setting, for it sorts them by that


@dataclass(frozen=True, slots=True)
class Group:
    """Something in brackets: on one line if it fits there, otherwise with an item on each."""

    opening: str
    items: Sequence[tuple[str, Any]] = ()
    closing: str = ")"
    kept: Sequence[str] = field(default_factory=tuple)

    def flat(self) -> str:
        inside = ", ".join(f"{name}{each.flat() if isinstance(each, Group) else each}" for name, each in self.items)
        if self.opening == "(" and len(self.items) == 1:
            inside += ","
        return f"{self.opening}{inside}{self.closing}"


def text(plan: Plan, *, project: str, name: str) -> str:
    """The whole file."""
    writer = _Writer(plan, project, name)
    return "\n".join(writer.lines()) + "\n"


def environment(plan: Plan, project: str) -> dict[str, str]:
    """The variables that the file reads, each with what it is."""
    prefix = re.sub(r"\W+", "_", project.upper()).strip("_") or "PROJECT"
    found = {}
    account = plan.account
    if account.needed and account.register is None:
        if account.login is None and not account.page:
            found[f"{prefix}_TOKEN"] = f"the value of the header {plan.known.header} of an account that is there"
        else:
            found[f"{prefix}_USERNAME"] = "how an account that is there logs in"
            found[f"{prefix}_PASSWORD"] = "its password"  # noqa: S105
    if account.staff:
        if account.login is None and not account.page:
            found[f"{prefix}_STAFF_TOKEN"] = "the same header of an account of staff"
        else:
            found[f"{prefix}_STAFF_USERNAME"] = "how an account of staff logs in"
            found[f"{prefix}_STAFF_PASSWORD"] = "its password"  # noqa: S105
    return found


class _Writer:
    def __init__(self, plan: Plan, project: str, name: str) -> None:
        self.plan = plan
        self.project = project
        self.name = name
        self.account = plan.account
        self.variables = {each.partition("_STAFF_")[2] and f"STAFF_{each.partition('_STAFF_')[2]}" or each.rpartition("_")[2]: each
                          for each in environment(plan, project)}  # fmt: skip
        self.token_wanted = self.account.needed and self.account.login is None and not self.account.page

    def lines(self) -> Iterator[str]:
        body = [*self._visit(), "", "", *self._scenario()]
        yield from self._head("\n".join(body))
        yield from body

    # The beginning

    def _head(self, body: str) -> Iterator[str]:
        yield f'"""Traffic of {self.project}, for `strangler rehearse`: drafted from {self.plan.known.source}.'
        yield ""
        yield from _wrapped(
            "It is yours now. `strangler traffic draft` has asked no request; each comment that begins with a question "
            "mark is a question to you.", "",
        )  # fmt: skip
        yield '"""'
        yield ""
        yield "from __future__ import annotations"
        yield ""
        if self.variables:
            yield "import os"
        yield "from random import Random"
        words = ["NamedTuple"] if self.plan.things else []
        if "Any" in re.findall(r"\bAny\b", body):
            words = ["Any", *words]
        if words:
            yield f"from typing import {', '.join(words)}"
        if "UUID(" in body:
            yield "from uuid import UUID"
        yield ""
        used = [each for each in ("Behaviour", "Operation", "delete", "insert", "update") if re.search(rf"\b{each}\b", body)]
        if "Columns" in body:
            used.insert(1, "Columns")
        yield from _spread("from strangler.domain.traffic import ", used)
        yield ""
        for question in self.plan.questions:
            yield from _wrapped(f"? {question}", "# ")
        if self.plan.left_out:
            yield f"# {self.plan.left_out} more requests of {self.plan.known.source} belong to nothing that moves."
        if self.plan.questions or self.plan.left_out:
            yield ""
        for name, variable in self.variables.items():
            yield f'{name} = os.environ.get("{variable}", "")'
        wanted = [name for name in self.variables if not name.startswith("STAFF_")]
        if wanted:
            named = " and ".join(self.variables[each] for each in wanted)
            yield f"if not ({' and '.join(wanted)}):" if len(wanted) > 1 else f"if not {wanted[0]}:"
            told = environment(self.plan, self.project)[self.variables[wanted[0]]]
            yield f'    raise ValueError("set {named}: {told}")'
        if self.variables:
            yield ""
        yield from self._weights("STEPS", [each for each in self.plan.steps if not each.staff], "How often each is done, in a hundred.")
        if self.account.staff:
            variable = self.variables[next(each for each in self.variables if each.startswith("STAFF_"))]
            staff = [each for each in self.plan.steps if each.staff]
            yield from self._weights("STAFF_STEPS", staff, f"The same for staff, if {variable} names an account.")
        yield "# What a writer does: nothing but write, and each write can be seen in the database."
        yield from _group("WRITES = ", self._writes(), 0)
        yield ""
        yield ""

    def _weights(self, name: str, steps: Sequence[Step], said: str) -> Iterator[str]:
        total = sum(each.weight for each in steps) or 1
        shares = {each.name: max(1, round(100 * each.weight / total)) for each in steps}
        yield f"# {said}"
        if not shares:
            yield f"{name}: dict[str, int] = {{}}"
            return
        yield from _group(f"{name} = ", Group("{", [(f'"{key}": ', str(value)) for key, value in shares.items()], "}"), 0)

    def _writes(self) -> Group:
        found = {}
        for step in self.plan.steps:
            if step.request.capability:
                found.setdefault(step.request.capability, [one.name for one in self.plan.writers(step.request.capability)])
        return Group(
            "{", [(f'"{name}": ', Group("[", [("", f'"{one}"') for one in names], "]")) for name, names in found.items()], "}"
        )  # fmt: skip

    # A visit

    def _visit(self) -> Iterator[str]:
        if self.plan.things:
            yield "class Thing(NamedTuple):"
            yield '    """What an answer has shown: its path, its id, and the key by which its row is found."""'
            yield ""
            yield "    path: str"
            yield "    id: Any"
            yield "    key: Columns"
            yield ""
            yield ""
        yield "class Visit:"
        yield '    """One client, with what it has seen and made. Each method is a request."""'
        yield ""
        yield from self._init()
        yield ""
        yield "    def new(self, word: str, limit: int = 200) -> str:"
        yield '        """A text that nobody sends twice."""'
        yield "        self.count += 1"
        yield '        own = f"{self.token}-{self.count}"'
        yield '        return f"{word[: limit - len(own) - 1]}-{own}"'
        yield ""
        yield from self._arrive()
        for step in [*self.plan.steps, *filter(None, (self.plan.farewell,))]:
            yield ""
            yield from self._step(step)

    def _init(self) -> Iterator[str]:
        staff = ", *, staff: bool = False" if self.account.staff else ""
        yield f"    def __init__(self, run: str, number: int, rng: Random{staff}) -> None:"
        yield '        self.token = f"{run}-{number}"'
        yield "        self.rng = rng"
        yield "        self.count = 0"
        yield "        self.headers: dict[str, str] = {}"
        identity = self.account.identity
        if self.account.register:
            for name in self._identities():
                yield f"        self.{name} = " + ('f"{self.token}@example.com"' if name == "email" else "self.token")
            yield '        self.password = f"Rehearsed-{self.token}"'
            if self.account.row:
                yield f'        self.key: Columns = {{"{identity}": self.{identity}}}'
        elif self.account.login or self.account.page:
            yield f"        self.{identity} = USERNAME"
            yield "        self.password = PASSWORD"
        elif self.token_wanted and not self.account.staff:
            yield f'        self.headers = {{"{self.plan.known.header}": TOKEN}}'
        if self.account.staff:
            yield "        self.staff = staff"
            if self.token_wanted:
                yield f'        self.headers = {{"{self.plan.known.header}": STAFF_TOKEN if staff else TOKEN}}'
            else:
                yield "        if staff:"
                yield f"            self.{identity}, self.password = STAFF_USERNAME, STAFF_PASSWORD"
        if self._has_kept():
            yield "        self.kept: dict[str, Any] = {}"
        for thing in self.plan.things:
            yield f"        self.{thing.attribute}: list[Thing] = []"

    def _identities(self) -> list[str]:
        """What the account is known by, as its registration and its login name it."""
        found = [self.account.identity]
        for step in (self.account.register, self.account.login):
            for place, leaf in leaves(step.request.body if step else None):
                name = str(place[-1])
                if isinstance(leaf, Text) and name in ("email", "username", "login", "user_name") and name not in found:
                    found.append(name)
        return found

    def _has_kept(self) -> bool:
        return any(isinstance(leaf, Kept) for step in self.plan.steps for _, leaf in leaves(step.request.body))

    def _arrive(self) -> Iterator[str]:
        yield "    def arrive(self) -> Behaviour:"
        account = self.account
        if not account.needed or (account.login is None and not account.page):
            yield '        """Nothing is needed before the first request."""'
            yield "        yield from ()"
            return
        if account.register:
            if account.staff:
                yield "        if not self.staff:"
            yield f"        {'    ' if account.staff else ''}yield from self.register()"
        yield "        yield from self.log_in()"
        if account.register:
            yield ""
            yield from self._register(account.register)
        yield ""
        yield from self._log_in()
        if account.page or (account.register and account.register.request.form):
            yield ""
            yield from _PAGE

    def _register(self, step: Step) -> Iterator[str]:
        request = step.request
        yield "    def register(self) -> Behaviour:"
        yield f'        """{request}: an account that nobody else has."""'
        headers = ""
        if request.form:
            yield f'        yield from self._open("{request.path}")'
            headers = "self.headers"
        yield from self._body(step, account=True)
        yield from self._operation(step, f'"{request.path}"', "yield ", headers)

    def _log_in(self) -> Iterator[str]:
        account, step = self.account, self.account.login
        yield "    def log_in(self) -> Behaviour:"
        if account.page:
            path = step.request.path if step else account.page
            body = step.request.body if step else {account.identity: Text(account.identity), "password": Secret("password")}
            yield f'        """{path}: a session."""'
            yield f'        yield from self._open("{path}")'
            yield from _group("        form = ", self._tree(body, account=True), 8)
            call = Group(
                "Operation(",
                [("", '"POST"'), ("", f'"{path}"'), ("form=", "form"), ("headers=", "self.headers"), ("expected=", "{302}")],
            )
            yield from _group("        answer = yield ", call, 8)
            yield "        self._keep_cookies(answer.cookies)"
            return
        assert step is not None
        request = step.request
        yield f'        """{request}: the token for all that follows."""'
        yield from self._body(step, account=True)
        yield from self._operation(step, f'"{request.path}"', "answer = yield ")
        place = "".join(f'["{one}"]' if isinstance(one, str) else f"[{one}]" for one in account.token)
        word = self.plan.known.scheme
        word = "Bearer" if word is None else word
        quote = place.replace('"', "'")
        value = f'f"{word} {{answer.json(){quote}}}"' if word else f"answer.json(){place}"
        yield f'        self.headers = {{"{self.plan.known.header}": {value}}}'
        if self._has_kept():
            yield "        self.kept = answer.json()"

    # A step

    def _step(self, step: Step) -> Iterator[str]:
        request = step.request
        yield f"    def {step.name}(self) -> Behaviour:"
        yield f'        """{request}"""'
        for remark in step.remarks:
            yield from _wrapped(remark, "        # ")
        chosen: dict[str, str] = {}
        for thing in dict.fromkeys([step.on and step.on.attribute, *(each.attribute for each in step.of.values())]):
            if thing is None:
                continue
            yield from self._have(thing)
        if step.on:
            chosen[step.on.attribute] = step.on.one
            # What is done to a thing may be possible once only.
            taken = step.on.made and (step.request.method == "DELETE" or (step.request.method == "POST" and not step.gives))
            yield (
                f"        {step.on.one} = self.{step.on.attribute}.pop()"
                if taken
                else f"        {step.on.one} = self.rng.choice(self.{step.on.attribute})"
            )
        path = f'"{request.path}"'
        if step.on:
            after = request.path.rpartition("}")[2]
            path = f'f"{{{step.on.one}.path}}{after}"' if after else f"{step.on.one}.path"
        if request.query:
            path = path[:-1] + f'?{request.query}"' if path.endswith('"') else f'f"{{{path}}}?{request.query}"'
        headers = self._headers(step)
        if isinstance(headers, Group):
            yield from _group("        headers = ", headers, 8)
            headers = "headers"
        yield from self._body(step)
        named = self._key(step)
        if named is not None and step.gives:
            yield from _group("        key: Columns = ", named, 8)
        elif step.keeps and step.gives and step.gives.made and not step.leaves:
            yield "        key: Columns = {}"
        renews = self._renews(step)
        needs_answer = renews or bool(step.keeps and step.gives and (step.gives.id_name or not step.gives.made))
        yield from self._operation(step, path, "answer = yield " if needs_answer else "yield ", headers)
        if step is self.plan.farewell:
            for thing in self.plan.things:
                if thing.made:
                    yield f"        self.{thing.attribute}.clear()"
        if renews:
            yield "        self.kept.update(answer.json())"
        if step.gives and step.keeps:
            yield from self._keep(step, step.gives, path)

    def _renews(self, step: Step) -> bool:
        """Whether the answer replaces what the request has used up."""
        answer = step.request.answer
        used = {leaf.name for _, leaf in leaves(step.request.body) if isinstance(leaf, Kept)}
        return isinstance(answer, dict) and bool(used & set(answer))

    def _have(self, attribute: str) -> Iterator[str]:
        giver = next(each for each in self.plan.steps if each.gives and each.gives.attribute == attribute)
        yield f"        if not self.{attribute}:"
        yield f"            yield from self.{giver.name}()"
        yield f"        if not self.{attribute}:"
        yield "            return"

    def _headers(self, step: Step) -> Any:
        request = step.request
        own = [(f'"{name}": ', self._tree(leaf)) for name, leaf in request.headers.items()]
        signed = bool(request.access) and self.account.needed
        signed = signed or (request.form and bool(self.account.page))
        if own:
            return Group("{", [*([("**", "self.headers")] if signed else []), *own], "}")
        return "self.headers" if signed else ""

    def _body(self, step: Step, *, account: bool = False) -> Iterator[str]:
        if step.request.body is not None:
            yield from _group("        body = ", self._tree(step.request.body, account=account, of=step.of), 8)

    def _key(self, step: Step) -> Group | None:
        """The key of the row that is made, if it is known before the answer."""
        first = step.leaves[0] if step.leaves else None
        if first is None or first.told or first.found or not step.gives:
            return None
        return Group("{", [(f'"{name}": ', written) for name, written in first.key.items()], "}")

    def _operation(self, step: Step, path: str, before: str, headers: str = "") -> Iterator[str]:
        request = step.request
        items: list[tuple[str, Any]] = [("", f'"{request.method}"'), ("", path)]
        if request.body is not None:
            items.append(("form=" if request.form else "body=", "body"))
        if headers:
            items.append(("headers=", headers))
        if tuple(request.expected) != (200,):
            items.append(("expected=", "{" + ", ".join(map(str, request.expected)) + "}"))
        known = [self._leaving(step, each) for each in step.leaves if not each.told]
        told = [self._leaving(step, each) for each in step.leaves if each.told]
        if known:
            items.append(("writes=", Group("(", [("", each) for each in known])))
        if told:
            items.append(("told=lambda answer: ", Group("[", [("", each) for each in told], "]")))
        yield from _group(f"        {before}", Group("Operation(", items), 8)

    def _leaving(self, step: Step, one: Leaving) -> Group | str:
        key: Any = one.found or Group("{", [(f'"{name}": ', each) for name, each in one.key.items()], "}")
        first = step.leaves[0]
        if one is first and step.gives and not one.told and not one.found:
            key = "key"
        elif step is self.account.register and one is first:
            key = "self.key"
        values = Group("{", [(f'"{name}": ', each) for name, each in one.values.items()], "}")
        items = [("", f'"{one.capability}"'), ("", f'"{one.table}"'), ("", key)]
        if one.kind != "delete":
            items.append(("", values))
        call = Group(f"{one.kind}(", items)
        return f"*({call.flat()} for each in self.{one.each})" if one.each else call

    def _keep(self, step: Step, thing: Thing, path: str) -> Iterator[str]:
        base = self._base(step)
        if thing.made:
            key = "key"
            if not thing.id_name:
                yield f'        self.{thing.attribute}.append(Thing("", None, key))'
                return
            if step.leaves and step.leaves[0].told:
                key = f'{{"{thing.id_name}": made["{thing.id_name}"]}}'
            where = self._made_in(step)
            yield f"        made = answer.json(){where}"
            id = f'made["{thing.id_name}"]'
            yield from _group(
                f"        self.{thing.attribute}.append(", Group("Thing(", [("", self._path(base, id)), ("", id), ("", key)]), 8, ")",
            )  # fmt: skip
            return
        name, _ = results(step.request.answer)
        where = f'["{name}"]' if name is not None else ""
        id = f'each["{thing.id_name}"]'
        item = Group("Thing(", [("", self._path(base, id)), ("", id), ("", "{}")]).flat()
        line = f"        self.{thing.attribute} = [{item} for each in answer.json(){where}]"
        if len(line) <= LONGEST:
            yield line
        else:
            yield f"        found = answer.json(){where}"
            yield f"        self.{thing.attribute} = [{item} for each in found]"

    def _made_in(self, step: Step) -> str:
        name, held = results(step.request.answer)
        if not held:
            return ""
        return f'["{name}"][0]' if name is not None else "[0]"

    def _base(self, step: Step) -> str:
        """The path of the collection, as text within an f-string, with a slash at its end."""
        if step.on:
            after = step.request.path.rpartition("}")[2]
            return f"{{{step.on.one}.path}}{after.rstrip('/')}/"
        return VARIABLE.sub("", step.request.path).rstrip("/") + "/"

    def _path(self, base: str, id: str) -> str:
        single = id.replace('"', "'")
        return f'f"{base}{{{single}}}"'

    def _tree(self, tree: Any, *, account: bool = False, of: Mapping[str, Thing] | None = None, at: str = "") -> Any:
        """A body as code."""
        if isinstance(tree, dict):
            return Group(
                "{",
                [
                    (f"{_quoted(str(name))}: ", self._tree(each, account=account, of=of, at=f'{at}["{name}"]'))
                    for name, each in tree.items()
                ],
                "}",
            )
        if isinstance(tree, list):
            return Group(
                "[",
                [("", self._tree(each, account=account, of=of, at=f"{at}[{n}]")) for n, each in enumerate(tree)],
                "]",
            )
        return self._leaf(tree, account=account, thing=(of or {}).get(at))

    def _leaf(self, leaf: Any, *, account: bool, thing: Thing | None) -> str:
        if isinstance(leaf, Text):
            if account and leaf.word in self._identities():
                return f"self.{leaf.word}"
            if leaf.form == "uuid":
                return "str(UUID(int=self.rng.getrandbits(128), version=4))"
            if leaf.form == "email":
                return f"f\"{{self.new('{_word(leaf.word)}')}}@example.com\""
            limit = f", {leaf.limit}" if leaf.limit and leaf.limit < 200 else ""
            return f'self.new("{_word(leaf.word)}"{limit})'
        if isinstance(leaf, Secret):
            return "self.password" if account else 'f"Rehearsed-{self.token}"'
        if isinstance(leaf, Kept):
            return f'self.kept["{leaf.name}"]'
        if isinstance(leaf, Of):
            return f"self.rng.choice(self.{thing.attribute}).id" if thing else "None"
        return _quoted(leaf) if isinstance(leaf, str) else repr(leaf)

    # The scenario

    def _scenario(self) -> Iterator[str]:
        staff = self.account.staff
        mark = next((each for each in self.variables if each.startswith("STAFF_")), "")
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


_PAGE = (
    "    def _open(self, path: str) -> Behaviour:",
    '        """A page with a form: its cookie is the form\'s token."""',
    '        page = yield Operation("GET", path, headers=self.headers)',
    "        self._keep_cookies(page.cookies)",
    "",
    "    def _keep_cookies(self, fresh: Any) -> None:",
    '        """As a browser does; Django takes the value of one of them as the token of a form."""',
    '        kept = dict(each.split("=", 1) for each in self.headers.get("Cookie", "").split("; ") if each)',
    "        kept.update(fresh)",
    '        cookie = "; ".join(f"{name}={value}" for name, value in kept.items())',
    '        self.headers = {"Cookie": cookie, "X-CSRFToken": kept.get("csrftoken", "")}',
)


def _group(before: str, value: Any, indent: int, after: str = "") -> Iterator[str]:
    """The value behind ``before``, in as few lines as it takes."""
    line = before + (value.flat() if isinstance(value, Group) else str(value)) + after
    if not isinstance(value, Group) or len(line) <= LONGEST or not value.items:
        yield line
        return
    yield before + value.opening
    for name, each in value.items:
        yield from _group(" " * (indent + 4) + name, each, indent + 4, ",")
    yield " " * indent + value.closing + after


def _spread(before: str, names: Sequence[str]) -> Iterator[str]:
    line = before + ", ".join(names)
    if len(line) <= SHORT:
        yield line
    else:
        yield f"{before}("
        yield from (f"    {name}," for name in names)
        yield ")"


def _wrapped(text: str, before: str) -> Iterable[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=before, subsequent_indent=f"{before}  " if text.startswith("?") else before,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def _word(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "text"


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)
