"""The text of a scenario's visit: one client, with a method for each request."""

from __future__ import annotations

from collections.abc import Iterator

from strangler.traffic.known import Secret, Text
from strangler.traffic.layout import Group, group
from strangler.traffic.planning import Plan
from strangler.traffic.stepping import StepText
from strangler.traffic.steps import Step, Thing

_PAGE = (
    "    def _open(self, path: str) -> Generator[Operation, Answer, Page]:",
    '        """A page: its cookies are kept, for the token of its forms is in them or in itself."""',
    '        answer = yield Operation("GET", path, headers=self.headers)',
    "        page = Page(answer.body, path)",
    "        self._keep_cookies(answer.cookies, page.token)",
    "        return page",
    "",
    '    def _keep_cookies(self, fresh: Any, token: str = "") -> None:',
    '        """As a browser does; Django takes the value of one of them as the token of a form."""',
    '        kept = dict(each.split("=", 1) for each in self.headers.get("Cookie", "").split("; ") if each)',
    "        kept.update(fresh)",
    '        cookie = "; ".join(f"{name}={value}" for name, value in kept.items())',
    '        token = kept.get("csrftoken") or token or self.headers.get("X-CSRFToken", "")',
    '        self.headers = {"Cookie": cookie, "X-CSRFToken": token}',
)
_UNDONE = (
    "    def undone(self, things: list[Thing], what: str) -> Thing | None:",
    '        """One to which this was not done yet: it may be possible once only."""',
    "        left = [each for each in things if (what, each.path) not in self.done]",
    "        if not left:",
    "            return None",
    "        thing = self.rng.choice(left)",
    "        self.done.add((what, thing.path))",
    "        return thing",
)


class VisitText:
    """Makes the lines."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.account = plan.account
        self._steps = StepText(plan)

    @property
    def _once(self) -> bool:
        """Whether something is done to things that stay."""
        return any(each.acts and each.on and each.on.made and not each.ends for each in self.plan.steps)

    @property
    def _enders(self) -> list[tuple[Thing, Step]]:
        return [(each, ender) for each in self.plan.things if (ender := self.plan.ender(each))]

    def lines(self) -> Iterator[str]:
        """The class, with what it keeps."""
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
        if self._once:
            yield ""
            yield from _UNDONE
        if self._enders:
            yield ""
            yield "    def leave(self) -> Behaviour:"
            yield '        """What it has begun it ends, so that the next one finds room."""'
            for thing, ender in self._enders:
                yield f"        while self.{thing.attribute}:"
                yield f"            yield from self.{ender.name}()"
        for step in [*self.plan.steps, *filter(None, (self.plan.farewell,))]:
            yield ""
            yield from self._steps.lines(step)

    def _init(self) -> Iterator[str]:
        staff = ", *, staff: bool = False" if self.account.staff else ""
        yield f"    def __init__(self, run: str, number: int, rng: Random{staff}) -> None:"
        yield '        self.token = f"{run}-{number}"'
        yield "        self.number = number"
        yield "        self.rng = rng"
        yield "        self.count = 0"
        yield "        self.headers: dict[str, str] = {}"
        identity = self.account.identity
        if self.account.register:
            for name in self.account.identities:
                yield f"        self.{name} = " + ('f"{self.token}@example.com"' if name == "email" else "self.token")
            yield '        self.password = f"Rehearsed-{self.token}"'
            if self.account.row:
                yield f'        self.key: Columns = {{"{identity}": self.{identity}}}'
        elif self.account.needed and (self.account.login or self.account.page):
            yield '        names = [each.strip() for each in USERNAME.split(",")]'
            yield f"        self.{identity} = names[number % len(names)]"
            yield "        self.password = PASSWORD"
        elif self.account.takes_token and not self.account.staff:
            yield f'        self.headers = {{"{self.plan.known.header}": TOKEN}}'
        if self.account.staff:
            yield "        self.staff = staff"
            if self.account.takes_token:
                yield f'        self.headers = {{"{self.plan.known.header}": STAFF_TOKEN if staff else TOKEN}}'
            else:
                yield "        if staff:"
                yield f"            self.{identity}, self.password = STAFF_USERNAME, STAFF_PASSWORD"
        if self.plan.keeps_login:
            yield "        self.kept: dict[str, Any] = {}"
        for thing in self.plan.things:
            yield f"        self.{thing.attribute}: list[Thing] = []"
        if self._once:
            yield "        self.done: set[tuple[str, str]] = set()"

    def _arrive(self) -> Iterator[str]:
        yield "    def arrive(self) -> Behaviour:"
        account = self.account
        if not account.needed or (account.login is None and not account.page):
            yield '        """Nothing is needed before the first request."""'
            yield "        yield from ()"
            if self.plan.reads_pages:
                yield ""
                yield from _PAGE
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
        if account.page or self.plan.reads_pages or (account.register and account.register.request.form):
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
        yield from self._steps.body(step, account=True)
        yield from self._steps.operation(step, f'"{request.path}"', "yield ", headers)

    def _log_in(self) -> Iterator[str]:
        account, step = self.account, self.account.login
        yield "    def log_in(self) -> Behaviour:"
        if account.page:
            path = step.request.path if step else account.page
            body = (
                step.request.body
                if step
                else {account.identity: Text(account.identity), "password": Secret("password")}
            )
            yield f'        """{path}: a session."""'
            yield f'        yield from self._open("{path}")'
            yield from group("        form = ", self._steps.tree(body, account=True), 8)
            call = Group(
                "Operation(",
                [
                    ("", '"POST"'),
                    ("", f'"{path}"'),
                    ("form=", "form"),
                    ("headers=", "self.headers"),
                    ("expected=", "{302}"),
                ],
            )
            yield from group("        answer = yield ", call, 8)
            yield "        self._keep_cookies(answer.cookies)"
            return
        assert step is not None
        request = step.request
        yield f'        """{request}: the token for all that follows."""'
        yield from self._steps.body(step, account=True)
        yield from self._steps.operation(step, f'"{request.path}"', "answer = yield ")
        place = "".join(f'["{one}"]' if isinstance(one, str) else f"[{one}]" for one in account.token)
        word = self.plan.known.scheme
        word = "Bearer" if word is None else word
        quote = place.replace('"', "'")
        value = f'f"{word} {{answer.json(){quote}}}"' if word else f"answer.json(){place}"
        yield f'        self.headers = {{"{self.plan.known.header}": {value}}}'
        if self.plan.keeps_login:
            yield "        self.kept = answer.json()"
