"""What a change breaks: each place at which a consumer that runs gets less than it was promised, and for whom.

Old and new versions run side by side while one is rolled out. So what the new version writes is compared with what old
consumers take, and what old versions write with what the new one takes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from tests.pipeline.operations import OperationMisfit, broken, operations
from tests.pipeline.projects import MONOLITH, Project, Tree
from tests.pipeline.schemas import Misfit, Side, misfits

PAGE = "docs/how-to/pipelines.md#a-wanted-break"
OUTSIDE = "clients and listeners outside this repository"

# Of each rule: what happens to the consumer, and what to do instead.
VERSION_MESSAGE = "send a new type beside the old one"
VERSION_PATH = "serve it at a new path beside the old one"
KEEP = "keep it as it was, and add what is new under a new name"
RULES = {
    "field-removed": ("a consumer reads a field that is not there", "keep the field"),
    "field-now-optional": ("a consumer needs a field that is sometimes not there", "send it always, as before"),
    "field-newly-required": ("what old versions send is refused or fails: it lacks the field", "make it optional"),
    "field-no-longer-read": ("what a caller sends in it is dropped without a word", "go on reading it"),
    "type-widened": ("a consumer gets a value of a type that it does not take", KEEP),
    "type-narrowed": ("values that old versions send are refused", KEEP),
    "values-added": ("a consumer meets a value that it does not know", KEEP),
    "values-removed": ("a value that old versions send is refused", "go on taking the value"),
    "limit-loosened": ("a consumer gets a value outside the limits that it was promised", KEEP),
    "limit-tightened": ("values that old versions send are refused", "leave the limit"),
    "cannot-be-judged": ("nobody knows who breaks", "write it with keywords that the gate compares, or " + KEEP),
    "operation-removed": ("a caller gets 404 or 405", "keep the operation"),
    "parameter-removed": ("what a caller asks for with it is ignored", "go on reading it"),
    "parameter-newly-required": ("callers that do not send it are refused", "make it optional"),
    "body-newly-required": ("callers that send no body are refused", "make it optional"),
    "body-no-longer-read": ("what a caller sends is dropped without a word", "go on reading it"),
    "content-removed": ("a caller speaks a media type that is no longer there", "keep the media type"),
    "status-removed": ("a caller waits for a status that no longer comes", "answer with the same status"),
    "header-removed": ("a caller reads a header that is not there", "keep the header"),
    "access-tightened": ("callers are refused with 401 or 403", "take what was enough before"),
    "message-no-longer-sent": ("a consumer waits for messages that no longer come", "go on sending it"),
    "command-no-longer-handled": ("commands that old versions send are left lying", "go on handling it"),
    "contract-missing": ("nobody can say what breaks it", "add the file, the same as the sender's"),
    "call-undocumented": ("the call is answered with 404 or 405", "call what an openapi.yaml documents"),
}


@dataclass(frozen=True)
class Finding:
    """A break: where it is, what it breaks, and for whom."""

    project: str
    file: str
    place: str
    rule: str
    detail: str
    consumers: tuple[str, ...]

    def __str__(self) -> str:
        consequence, remedy = RULES[self.rule]
        version = VERSION_PATH if self.file.endswith(".yaml") else VERSION_MESSAGE
        wanted = "" if self.rule in {"contract-missing", "call-undocumented"} else f", or {version}: {PAGE}"
        return (
            f"{self.file}: {self.place}: {self.rule}{f' ({self.detail})' if self.detail else ''}\n"
            f"  breaks: {', '.join(self.consumers)}\n  then: {consequence}\n  do: {remedy}{wanted}"
        )


# ------------------------------------------------------------------------------------------------------------- messages


def message_findings(base: Tree, now: Tree) -> Iterator[Finding]:
    """What breaks those who take in messages, and those who send them."""
    types = {each for tree in (base, now) for project in tree.projects.values() for each in project.messages}
    types |= {each for project in now.projects.values() for each in project.handled}
    for type_ in sorted(types):
        readers = _readers(type_, base, now)
        command = _is_command(type_, base, now)
        for name, project in now.projects.items():
            before = base.projects.get(name, Project(name, project.folder))
            file = f"{project.folder}/contracts/{type_}.json"
            if type_ in project.handled and type_ not in project.messages:
                yield Finding(name, file, type_, "contract-missing", "", (_at(name, project.handled[type_][0]),))
            for rule in _ended(type_, command, before, project, readers):
                if name == MONOLITH and _taken_over(rule, type_, now):
                    continue
                yield Finding(name, file, type_, rule, "", _hurt(rule, type_, name, readers, base))
            if project.messages.get(type_) != before.messages.get(type_) and type_ in project.messages:
                yield from _changed(type_, project, before, file, base, now, readers)


def _readers(type_: str, *trees: Tree) -> dict[str, str]:
    """Who takes the type in, in any of the trees, and where."""
    return {
        name: each.handled[type_][0] for tree in trees for name, each in tree.projects.items() if type_ in each.handled
    }


def _is_command(type_: str, *trees: Tree) -> bool:
    """A command belongs to who takes it in, an event or a reply to who sends it."""
    projects = [each for tree in trees for each in tree.projects.values()]
    return any(type_ in each.handled and each.handled[type_][1] == type_.partition(".")[0] for each in projects)


def _ended(type_: str, command: bool, before: Project, project: Project, readers: Collection[str]) -> Iterator[str]:
    if command:  # that one is no longer sent hurts nobody
        if type_ in before.handled and type_ not in project.handled:
            yield "command-no-longer-handled"
    elif before.sends(type_) and not project.sends(type_):
        announced = before.messages.get(type_, {}).get("deprecated", False)
        if set(readers) - {project.name} or not announced:
            yield "message-no-longer-sent"


def _taken_over(rule: str, type_: str, now: Tree) -> bool:
    """Whether a service does what the monolith no longer does: the monolith is there to be taken apart."""
    services = [each for name, each in now.projects.items() if name != MONOLITH]
    if rule == "command-no-longer-handled":
        return any(type_ in each.handled for each in services)
    return any(each.sends(type_) for each in services)


def _hurt(rule: str, type_: str, name: str, readers: dict[str, str], base: Tree) -> tuple[str, ...]:
    if rule == "command-no-longer-handled":
        places = {each: project.sends(type_) for each, project in base.projects.items()}
        return tuple(_at(each, place) for each, place in places.items() if place) or (OUTSIDE,)
    return tuple(_at(each, place) for each, place in readers.items() if each != name) or (OUTSIDE,)


def _changed(
    type_: str, project: Project, before: Project, file: str, base: Tree, now: Tree, readers: dict[str, str]
) -> Iterator[Finding]:
    mine = _side(project.messages[type_])
    if type_ not in project.handled or project.sends(type_):
        for name, theirs in _versions(type_, project, readers, base, now):
            for each in misfits(mine, theirs, "writer"):
                if name == OUTSIDE and each.deprecated:
                    continue
                if name != OUTSIDE and each.deprecated and not _still_reads(name, each.field, base, now):
                    continue
                yield Finding(
                    project.name,
                    file,
                    each.place or type_,
                    each.rule,
                    each.detail,
                    (_reader(name, each, readers, now),),
                )
    if type_ in project.handled:
        holders = [name for name in {**base.projects, **now.projects} if name not in readers or name == project.name]
        for name, theirs in _versions(type_, project, holders or list(now.projects), base, now):
            sender = (now.projects.get(name) or base.projects[name]).sends(type_) if name != OUTSIDE else None
            for each in misfits(theirs, mine, "reader"):
                who = _at(name, sender) if sender else name
                yield Finding(project.name, file, each.place or type_, each.rule, each.detail, (who,))


def _versions(
    type_: str, project: Project, names: Collection[str], base: Tree, now: Tree
) -> Iterator[tuple[str, Side]]:
    """The versions that run beside the new one: each named project's old and new schema, or nobody's but its own."""
    found = False
    for tree in (base, now):
        for name in names:
            each = tree.projects.get(name)
            if each is not None and type_ in each.messages and each.messages[type_] != project.messages[type_]:
                found = True
                yield name, _side(each.messages[type_])
    own = base.projects.get(project.name)
    if not found and own is not None and type_ in own.messages:
        yield OUTSIDE, _side(own.messages[type_])


def _side(schema: dict[str, object]) -> Side:
    return Side(schema, schema)


def _still_reads(name: str, field: str, base: Tree, now: Tree) -> bool:
    return any(tree.projects[name].reads(field) for tree in (base, now) if name in tree.projects)


def _reader(name: str, misfit: Misfit, readers: dict[str, str], now: Tree) -> str:
    if name == OUTSIDE or name not in readers:
        return name
    module = readers[name].rpartition(":")[0]
    reads = now.projects[name].reads(misfit.field, module) if misfit.field and name in now.projects else None
    return _at(name, reads or readers[name])


def _at(name: str, place: str) -> str:
    return f"{name} ({place})"


# ----------------------------------------------------------------------------------------------------------------- HTTP


def operation_findings(base: Tree, now: Tree) -> Iterator[Finding]:
    """What breaks those who call an API."""
    for name, before in base.projects.items():
        project = now.projects.get(name, Project(name, before.folder))
        if not before.openapi or before.openapi == project.openapi:
            continue
        file = f"{before.folder}/openapi.yaml"
        others = [each for other, each in now.projects.items() if name == MONOLITH != other]
        taken_over = {key for each in others for key in operations(each.openapi)}
        for each in broken(before.openapi, project.openapi):
            if each.misfit.rule == "operation-removed" and (each.method, each.path) in taken_over:
                continue
            callers = _callers(each, base, now)
            if each.misfit.deprecated and not _needed(each, base, now):
                continue
            yield Finding(name, file, each.place, each.misfit.rule, each.misfit.detail, callers or (OUTSIDE,))


def _callers(found: OperationMisfit, *trees: Tree) -> tuple[str, ...]:
    """Who calls the operation, and where it reads the field, if it is one."""
    callers = {}
    for tree in trees:
        for name, project in tree.projects.items():
            for call in project.calls:
                if (call.method, call.path) == (found.method, found.path):
                    reads = project.reads(found.misfit.field, call.module) if found.misfit.field else None
                    callers[name, call.module] = _at(name, reads or call.place)
    return tuple(callers.values())


def _needed(found: OperationMisfit, *trees: Tree) -> bool:
    """Whether a known caller still uses what was announced to go: the operation, or the field of it."""
    for tree in trees:
        for project in tree.projects.values():
            for call in project.calls:
                if (call.method, call.path) == (found.method, found.path):
                    field = found.misfit.field
                    if not field or project.reads(field, call.module):
                        return True
    return False


def call_findings(now: Tree) -> Iterator[Finding]:
    """Calls of what nobody documents."""
    documented = {each for project in now.projects.values() for each in operations(project.openapi)}
    for name, project in now.projects.items():
        for call in project.calls:
            if (call.method, call.path) not in documented:
                place = f"{call.method.upper()} {call.path}"
                yield Finding(name, call.place, place, "call-undocumented", "", (name,))


# ---------------------------------------------------------------------------------------------------------- all of them


def findings(base: Tree, now: Tree, only: Collection[str] = ()) -> list[Finding]:
    """Each break once, with all whom it breaks; of the named projects only, if any are named."""
    grouped: dict[tuple[str, ...], dict[str, None]] = {}
    for each in (*message_findings(base, now), *operation_findings(base, now), *call_findings(now)):
        if not only or each.project in only:
            key = (each.project, each.file, each.place, each.rule, each.detail)
            grouped.setdefault(key, {}).update(dict.fromkeys(each.consumers))
    return [Finding(*key, tuple(consumers)) for key, consumers in grouped.items()]  # type: ignore[arg-type]


def unread(now: Tree) -> Iterator[str]:
    """What nobody has looked at, for it is only known at run time."""
    for project in now.projects.values():
        yield from project.unread
    for type_ in sorted({each for project in now.projects.values() for each in project.messages}):
        if not any(project.sends(type_) for project in now.projects.values()):
            yield f"who sends {type_}: no source has it as an argument of a call"
