"""The text of one request, as a method of a visit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from strangler.domain.route import VARIABLE
from strangler.traffic.known import Kept, Of, Offered, Open, Secret, Shown, Text, leaves, results
from strangler.traffic.layout import LONGEST, Group, group, quoted, word, wrapped
from strangler.traffic.leaving import Leaving
from strangler.traffic.planning import Plan
from strangler.traffic.steps import Step, Thing


class StepText:
    """Makes the lines."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.account = plan.account

    def lines(self, step: Step) -> Iterator[str]:
        request = step.request
        yield f"    def {step.name}(self) -> Behaviour:"
        yield f'        """{request}"""'
        for remark in step.remarks:
            yield from wrapped(remark, "        # ")
        for attribute in dict.fromkeys(
            each.attribute for each in (*((step.on,) if step.on else ()), *step.of.values())
        ):
            yield from self._have(attribute)
        if step.on:
            yield from self._take(step, step.on)
        if step.gives and step.gives.made and step.keeps and (ender := self.plan.ender(step.gives)):
            yield f"        if len(self.{step.gives.attribute}) >= HELD:"
            yield f"            yield from self.{ender.name}()"
        path = self._asked(step)
        headers = self._headers(step)
        if isinstance(headers, Group):
            yield from group("        headers = ", headers, 8)
            headers = "headers"
        # A client that changes its account goes on being known as before.
        yield from self.body(step, account=request.method in ("PATCH", "PUT") and step.on is None)
        named = self._key(step)
        if named is not None and step.gives:
            yield from group("        key: Columns = ", named, 8)
        elif step.keeps and step.gives and step.gives.made and not step.leaves:
            yield "        key: Columns = {}"
        renews = self._renews(step)
        needs_answer = renews or bool(step.keeps and step.gives and (step.gives.id_name or not step.gives.made))
        yield from self.operation(step, path, "answer = yield " if needs_answer else "yield ", headers)
        if step is self.plan.farewell:
            for thing in self.plan.things:
                if thing.made:
                    yield f"        self.{thing.attribute}.clear()"
        if renews:
            yield "        self.kept.update(answer.json())"
        if step.gives and step.keeps:
            yield from self._keep(step, step.gives)

    def _take(self, step: Step, thing: Thing) -> Iterator[str]:
        """The thing that the path names. What is done to one may be possible once only."""
        which = f"self.{thing.attribute}"
        if not step.acts or not thing.made:
            yield f"        {thing.one} = self.rng.choice({which})"
        elif step.ends:
            yield f"        {thing.one} = {which}.pop(0)"
        else:
            yield f'        {thing.one} = self.undone({which}, "{step.name}")'
            yield f"        if {thing.one} is None:"
            yield "            return"

    def _asked(self, step: Step) -> str:
        """The path and the query, as code."""
        path, query = f'"{step.request.path}"', step.request.query
        if step.on:
            after = step.request.path.rpartition("}")[2]
            path = f'f"{{{step.on.one}.path}}{after}"' if after else f"{step.on.one}.path"
        if not query:
            return path
        return path[:-1] + f'?{query}"' if path.endswith('"') else f'f"{{{path}}}?{query}"'

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
        own = [(f'"{name}": ', self.tree(leaf)) for name, leaf in request.headers.items()]
        signed = bool(request.access) and self.account.needed
        signed = signed or (request.form and bool(self.account.page or self.plan.reads_pages))
        if own:
            return Group("{", [*([("**", "self.headers")] if signed else []), *own], "}")
        return "self.headers" if signed else ""

    def body(self, step: Step, *, account: bool = False) -> Iterator[str]:
        if step.request.form_page:
            form = step.request.form_page
            path = f'f"{{{step.on.one}.path}}{form.rpartition("}")[2]}"' if step.on else f'"{form}"'
            yield f"        page = yield from self._open({path})"
        if step.request.body is not None:
            yield from group("        body = ", self.tree(step.request.body, account=account, of=step.of), 8)

    def _key(self, step: Step) -> Group | None:
        """The key of the row that is made, if it is known before the answer."""
        first = step.leaves[0] if step.leaves else None
        if first is None or first.told or first.found or not step.gives:
            return None
        return Group("{", [(f'"{name}": ', written) for name, written in first.key.items()], "}")

    def operation(self, step: Step, path: str, before: str, headers: str = "") -> Iterator[str]:
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
        yield from group(f"        {before}", Group("Operation(", items), 8)

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

    def _keep_shown(self, step: Step, thing: Thing, shown: Shown) -> Iterator[str]:
        """What only a page tells."""
        path = f'f"{shown.collection}{{id}}"'
        if not thing.made:
            yield f"        page = Page(answer.body, {self._asked(step)})"
            item = f'Thing({path}, id, {{}}) for id in page.ids("{shown.pattern}")'
            yield from group(f"        self.{thing.attribute} = ", Group("[", [("", item)], "]"), 8)
            return
        if shown.kind == "location":
            yield f'        id = in_location(answer, "{shown.pattern}")'
        else:
            place = f'"{shown.page}"' if shown.page else "led_to(answer)"
            find = "id" if shown.kind == "link" else "hidden"
            yield f"        page = yield from self._open({place})"
            yield f'        id = page.{find}("{shown.pattern}", near={self._near(step)})'
        key = "key"
        if step.leaves and step.leaves[0].told:
            key = f'{{"{next(iter(step.leaves[0].key))}": id}}'
        yield f"        self.{thing.attribute}.append(Thing({path}, id, {key}))"

    def _near(self, step: Step) -> str:
        """The text by which a page tells what was just made."""
        first = step.leaves[0] if step.leaves else None
        if first and first.key and not first.told:
            return next(iter(first.key.values()))
        place = next(place for place, leaf in leaves(step.request.body) if isinstance(leaf, Text))
        return "body" + "".join(f'["{part}"]' if isinstance(part, str) else f"[{part}]" for part in place)

    def _keep(self, step: Step, thing: Thing) -> Iterator[str]:
        if thing.shown:
            yield from self._keep_shown(step, thing, thing.shown)
            return
        base = self._base(step)
        if thing.made:
            key = "key"
            if not thing.id_name:
                yield f'        self.{thing.attribute}.append(Thing("", None, key))'
                return
            if step.leaves and step.leaves[0].told:
                key = f'{{"{thing.refers}": made["{thing.refers}"]}}'
            where = self._made_in(step)
            yield f"        made = answer.json(){where}"
            id = f'made["{thing.id_name}"]'
            made = Group("Thing(", [("", self._path(base, id)), ("", f'made["{thing.refers}"]'), ("", key)])
            yield from group(f"        self.{thing.attribute}.append(", made, 8, ")")
            return
        name, _ = results(step.request.answer)
        where = f'["{name}"]' if name is not None else ""
        id = f'each["{thing.id_name}"]'
        item = Group("Thing(", [("", self._path(base, id)), ("", f'each["{thing.refers}"]'), ("", "{}")]).flat()
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

    def tree(self, tree: Any, *, account: bool = False, of: Mapping[str, Thing] | None = None, at: str = "") -> Any:
        """A body as code."""
        if isinstance(tree, dict):
            return Group(
                "{",
                [
                    (f"{quoted(str(name))}: ", self.tree(each, account=account, of=of, at=f'{at}["{name}"]'))
                    for name, each in tree.items()
                ],
                "}",
            )
        if isinstance(tree, list):
            return Group(
                "[",
                [("", self.tree(each, account=account, of=of, at=f"{at}[{n}]")) for n, each in enumerate(tree)],
                "]",
            )
        return self._leaf(tree, account=account, thing=(of or {}).get(at))

    def _leaf(self, leaf: Any, *, account: bool, thing: Thing | None) -> str:  # noqa: PLR0911
        match leaf:
            case Text(word=name) if account and name in self.account.identities:
                return f"self.{name}"
            case Text():
                return _fresh(leaf)
            case Secret():
                return 'f"Rehearsed-{self.token}"' if self.account.takes_token else "self.password"
            case Kept(name=name):
                return f'self.kept["{name}"]'
            case Open(name=name):
                return f"decided({name}, self)"
            case Offered(name=name, kind=kind):
                return f'page.hidden("{name}")' if kind == "hidden" else f'self.rng.choice(page.choices("{name}"))'
            case Of():
                return f"self.rng.choice(self.{thing.attribute}).id" if thing else "None"
        return quoted(leaf) if isinstance(leaf, str) else repr(leaf)


def _fresh(leaf: Text) -> str:
    """A value that nobody sends twice."""
    name = word(leaf.word)
    if leaf.form == "uuid":
        return "str(UUID(int=self.rng.getrandbits(128), version=4))"
    if leaf.form == "email":
        return f"f\"{{self.new('{name}')}}@example.com\""
    limit = f", {leaf.limit}" if leaf.limit and leaf.limit < 200 else ""
    return f'self.new("{name}"{limit})'
