"""Which modules, and which statements of them, come along; and what becomes of each import that leads out of them."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from strangler.domain.project import Capability
from strangler.domain.route import Route, covers
from strangler.extract.code.modules import Code, Import, Module, Statement, Target, dotted, used_at_once
from strangler.init.described import App, Described, Request, Table

# What an app imports is taken along up to so many lines, with all that it imports in turn; more is a port.
MOST_LINES = 400
# The service has its own of these.
CONFIGURING = frozenset({"asgi", "celery", "settings", "urls", "wsgi"})
# A module which does this when it is imported belongs to a running program, and is not only code to call.
_REGISTERS = frozenset({"receiver", "register", "shared_task", "task", "simple_tag", "filter", "inclusion_tag"})
_SUBJECTS = frozenset({"model", "queryset", "serializer_class", "form_class", "form", "resource_class", "document"})


class Fate(Enum):
    """What becomes of something that taken code imports."""

    TAKEN = "taken"
    STANDS_IN = "stands in"  # a model that stays, for which the service has one without rows
    PORT = "port"
    CONFIGURED = "configured"  # the service has a module of this name of its own
    LISTED = "listed"


@dataclass(frozen=True, slots=True)
class Crossed:
    """An import of taken code that leads to what was not taken whole."""

    module: Module
    line: int
    bound: str
    target: Target
    fate: Fate
    why: str = ""
    typing: bool = False
    nested: bool = False


@dataclass(slots=True)
class Scope:
    """All that comes along. ``kept`` has by module the statements that are kept, by their first lines, or None for all
    of them."""

    code: Code
    described: Described
    capability: Capability
    kept: dict[str, set[int] | None] = field(default_factory=dict)
    crossed: list[Crossed] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)  # places of what was cut, with why
    requests: list[Request] = field(default_factory=list)
    apps: list[App] = field(default_factory=list)
    installed: list[App] = field(default_factory=list)  # of packages, whose tables move
    blank: set[str] = field(default_factory=set)  # packages whose `__init__` did not come along
    along: set[str] = field(default_factory=set)  # modules of others that were taken along
    # Models that stay, and that are asked of the module that they were written in; with who asks.
    revived: dict[Target, tuple[Module, int]] = field(default_factory=dict)
    # By name the module of a library of tags which templates load, and which lies in no app that is installed.
    libraries: dict[str, str] = field(default_factory=dict)
    not_taken: dict[str, str] = field(default_factory=dict)  # what settings name and did not come along, with why
    _moving: dict[tuple[str, str], Table] = field(default_factory=dict)
    _staying: dict[tuple[str, str], Table] = field(default_factory=dict)
    _sliced: set[str] = field(default_factory=set)
    _waiting: list[tuple[Module, Statement]] = field(default_factory=list)
    _pure: dict[str, str] = field(default_factory=dict)
    _used: dict[str, frozenset[str]] = field(default_factory=dict)

    def moves(self, table: str) -> bool:
        """Whether the table moves."""
        return _plain(table) in {_plain(each) for each in self.capability.tables}

    def model_at(self, target: Target) -> Table | None:
        """The table of the model that is written there, whether it moves or not."""
        key = (target.module, target.name)
        return self._moving.get(key) or self._staying.get(key)

    def stays(self, target: Target) -> bool:
        """Whether a model that does not come along is written there."""
        return (target.module, target.name) in self._staying

    def modules(self) -> Iterator[Module]:
        """Those that come along, in the order of their names."""
        for name in sorted(self.kept):
            found = self.code.find(name)
            if found is not None:
                yield found

    def statements(self, module: Module) -> Sequence[Statement]:
        """Those of its statements that are kept."""
        lines = self.kept.get(module.name, set())
        return [each for each in module.statements if lines is None or each.first in lines]

    def app_of(self, module: str) -> App | None:
        """The project's app that a module belongs to."""
        found = [app for app in self.described.apps.values() if _within(module, app.module)]
        return max(found, key=lambda app: len(app.module), default=None)

    def is_taken(self, target: Target) -> bool:
        """Whether it came along: the module, or this name of it."""
        if target.module not in self.kept:
            return False
        lines = self.kept[target.module]
        module = self.code.find(target.module)
        if lines is None or not target.name or module is None:
            return lines is None or not target.name
        return any(each.first in lines for each in module.binders.get(target.name, ()))


def scope(code: Code, described: Described, capability: Capability, *, stand_ins: Collection[str]) -> Scope:
    """What comes along with the capability by its code; ``stand_ins`` are tables for which the service has a model.

    Raises:
        ConfigurationError: a file that is needed cannot be read.
    """
    found = Scope(code, described, capability)
    for table in described.tables:
        if table.joins or not table.model or not table.module:
            continue
        place = (table.module, table.model.rpartition(".")[2])
        (found._moving if found.moves(table.name) else found._staying)[place] = table
    found.requests = [one for one in described.requests if is_routed(one, capability)]
    labels = list(dict.fromkeys(table.app for table in found._moving.values()))
    for label in labels:
        app = described.apps[label]
        (found.apps if app.own else found.installed).append(app)
    whole = [app for app in found.apps if not any(each.app == app.label for each in found._staying.values())]
    split = [app for app in found.apps if app not in whole]
    for app in whole:
        for module in _modules_of(found, app):
            _take_whole(found, module)
    for app in split:
        found._sliced |= {module.name for module in _modules_of(found, app)}
    for request in found.requests:
        _take_view(found, request)
    for app in split:
        _take_what_is_about(found, app)
    follow(found, stand_ins)
    return found


def finish(found: Scope) -> None:
    """Takes the packages that modules lie in, and tells what was cut, when nothing more comes along."""
    for app in found.apps:
        if any(each.app == app.label for each in found._staying.values()):
            _tell_what_is_cut(found, app)
    _take_packages(found)
    # A class of which another statement makes a base came along after all.
    found.crossed = [one for one in found.crossed if not (one.target.name and found.is_taken(one.target))]


def judged(found: Scope, target: Target, stand_ins: Collection[str]) -> tuple[Fate, str]:
    """What becomes of something that a text names; it is taken along where that can be, and no more of its module."""
    module = found.code.find(target.module)
    if module is not None and target.name and module.name not in found._sliced and module.name not in found.kept:
        statements, why = _slice(found, module, [target.name])
        if not why:
            found.along.add(module.name)
            for statement in statements:
                _take(found, module, statement)
            return Fate.TAKEN, ""
    return _judge(found, target, (), stand_ins, at_once=True)


def is_routed(request: Request, capability: Capability) -> bool:
    """Whether a route of the capability takes some method of it."""
    methods = list(request.writes) or ["GET"]
    asked = [Route(methods=frozenset({method}), path=request.path) for method in methods]
    return any(covers(route, one) for one in asked for route in capability.routes)


def is_test(name: str) -> bool:
    """Whether a module holds tests, or what only tests use."""
    parts = name.split(".")
    last = parts[-1]
    is_named = last.startswith(("test_", "tests_")) or last.endswith("_test")
    return is_named or bool({"tests", "test", "conftest"} & {*parts})


def _plain(table: str) -> str:
    return table.removeprefix("public.").replace('"', "")


def _within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def _modules_of(found: Scope, app: App) -> Iterator[Module]:
    """All but migrations, and what belongs to an app within the app."""
    for module in found.code.below(app.module):
        inner = module.name.removeprefix(app.module).split(".")
        if "migrations" not in inner and found.app_of(module.name) == app:
            yield module


def _take_whole(found: Scope, module: Module) -> None:
    if found.kept.get(module.name, set()) is None:
        return
    found.kept[module.name] = None
    if not is_test(module.name):
        found._waiting += [(module, each) for each in module.statements]


def _take(found: Scope, module: Module, statement: Statement) -> None:
    lines = found.kept.setdefault(module.name, set())
    if lines is not None and statement.first not in lines:
        lines.add(statement.first)
        found._waiting.append((module, statement))


def _take_view(found: Scope, request: Request) -> None:
    """The view of a route comes along wherever it is written; of its module only what it needs."""
    name, _, view = request.view.rpartition(".")
    while name and found.code.find(name) is None:
        name, _, outer = name.rpartition(".")
        view = outer
    module = found.code.find(name)
    if module is None or not (app := found.app_of(name)) or not app.own:
        return
    if found.kept.get(name, set()) is None:
        return
    found._sliced.add(name)
    for statement in module.binders.get(view, ()):
        _take(found, module, statement)


def _take_what_is_about(found: Scope, app: App) -> None:
    """Of an app whose tables do not all move: models that do, and what uses these and none that stay."""
    modules = list(_modules_of(found, app))
    touched = _touched(found, modules)
    other_views = {one.view for one in found.described.requests} - {one.view for one in found.requests}
    config = app.config.rpartition(".")
    for module in modules:
        if is_test(module.name):
            tables = {each for one in module.statements for each in touched[module.name, one.first]}
            if module.is_package or module.name.endswith("conftest") or any(found.moves(each) for each in tables):
                _take_whole(found, module)
            continue
        for statement in module.statements:
            names = statement.binds
            at = [(module.name, name) for name in names]
            if any(place in found._moving for place in at) or any(place == config[::2] for place in at):
                _take(found, module, statement)
            elif (
                statement.is_import
                or any(place in found._staying for place in at)
                or any(f"{module.name}.{name}" in other_views for name in names)
            ):
                continue
            else:
                tables = touched[module.name, statement.first]
                moving = {each for each in tables if found.moves(each)}
                about = {table.name for table in _subjects(found, module, statement)}
                if moving and (moving == tables or (about and about <= moving)):
                    _take(found, module, statement)


def _touched(found: Scope, modules: Sequence[Module]) -> dict[tuple[str, int], set[str]]:
    """By statement the tables of the models that it uses, itself or by what it calls in the app."""
    direct: dict[tuple[str, int], set[str]] = {}
    leads: dict[tuple[str, int], set[tuple[str, int]]] = {}
    for module in modules:
        for statement in module.statements:
            key = (module.name, statement.first)
            direct[key], leads[key] = set(), set()
            for target in _targets(found, module, statement):
                table = found.model_at(target)
                if table is not None:
                    direct[key].add(table.name)
                    continue
                there = found.code.find(target.module)
                for each in there.binders.get(target.name, ()) if there and target.name else ():
                    leads[key].add((target.module, each.first))
    changed = True
    while changed:
        changed = False
        for key, following in leads.items():
            before = len(direct[key])
            for other in following:
                direct[key] |= direct.get(other, set())
            changed = changed or len(direct[key]) != before
    return direct


def _subjects(found: Scope, module: Module, statement: Statement) -> Iterator[Table]:
    """The models that a class or function is made for: what it is registered with, and what its body names as such."""
    node = statement.node
    named: list[ast.AST] = list(getattr(node, "decorator_list", []))
    for each in ast.walk(node) if isinstance(node, ast.ClassDef) else ():
        if isinstance(each, ast.Assign) and any(isinstance(t, ast.Name) and t.id in _SUBJECTS for t in each.targets):
            named.append(each.value)
    spelled = {text for each in named for text in (*_spelled(each), *_names(each))}
    modules = {one.bound: one.target for one in found.code.imports(module) if not one.target.name and not one.whole}
    for text in sorted(spelled):
        first, _, rest = text.partition(".")
        if rest and first in modules:
            targets = [found.code.resolve(Target(modules[first].module, rest.split(".")[0]))]
        else:
            targets = [] if first in modules else list(_targets(found, module, statement, [first]))
        for target in targets:
            table = found.model_at(target)
            if table is not None:
                yield table


def _names(node: ast.AST) -> list[str]:
    return [each.id for each in ast.walk(node) if isinstance(each, ast.Name)]


def _is_for_what_stays(found: Scope, module: Module, name: str) -> bool:
    """Whether it is a class that is made for models which stay, and for none that moves, such as a form."""
    for statement in module.binders.get(name, ()):
        if isinstance(statement.node, ast.ClassDef) and (module.name, name) not in found._moving:
            about = list(_subjects(found, module, statement))
            if about and not any(found.moves(table.name) for table in about):
                return True
    return False


def _targets(
    found: Scope, module: Module, statement: Statement, names: Iterable[str] | None = None
) -> Iterator[Target]:
    """What the names of a statement stand for in the project, attributes of modules among it."""
    imports: dict[str, list[Import]] = {}
    for one in found.code.imports(module):
        imports.setdefault(one.bound, []).append(one)
    stars = [one for one in found.code.imports(module) if one.target.name == "*"]
    for name in sorted(statement.uses if names is None else names):
        if name in imports:
            for one in imports[name]:
                if one.target.name:
                    yield found.code.resolve(one.target)
                else:
                    yield from _attributes(found, one, [statement])
        elif name in module.binders:
            yield Target(module.name, name)
        else:
            for star in stars:
                if name in found.code.exports(star.target.module):
                    yield found.code.resolve(Target(star.target.module, name))
                    break


def _attributes(found: Scope, one: Import, statements: Sequence[Statement]) -> Iterator[Target]:
    """What statements use of a module that they have imported."""
    for name in attributes(one, [each.node for each in statements]):
        inner = f"{one.target.module}.{name}"
        there = found.code.find(one.target.module)
        if there is not None and name in there.binders:
            yield found.code.resolve(Target(one.target.module, name))
        elif found.code.find(inner) is not None:
            yield Target(inner)


def attributes(one: Import, nodes: Iterable[ast.AST]) -> Sequence[str]:
    """The names that are used of the imported module."""
    prefix = f"{one.target.module if one.whole else one.bound}."
    found: dict[str, None] = {}
    for node in nodes:
        for text in _spelled(node):
            if text.startswith(prefix):
                found[text.removeprefix(prefix).split(".")[0]] = None
    return list(found)


def _spelled(node: ast.AST) -> Sequence[str]:
    """The attributes of names in a statement; kept with it, for each import asks."""
    found: Sequence[str] | None = getattr(node, "_spelled", None)
    if found is None:
        found = list(dict.fromkeys(text for each in ast.walk(node) if isinstance(each, ast.Attribute)
                                   and (text := dotted(each))))  # fmt: skip
        node._spelled = found  # type: ignore[attr-defined]
    return found


def follow(found: Scope, stand_ins: Collection[str]) -> None:
    """Takes what is needed, until nothing more is, and judges each import that leads elsewhere."""
    told: set[tuple[str, int, str, str]] = set()
    while found._waiting:
        module, statement = found._waiting.pop(0)
        if not statement.is_import:
            _take_names_of_its_own(found, module, statement)
        for one in _imports_for(found, module, statement):
            at_once = _is_asked_at_once(found, module, statement, one.bound)
            for target, needed in _asked(found, module, statement, one):
                fate, why = _judge(found, target, needed, stand_ins, at_once=at_once)
                if not target.name and target.module in found._sliced:
                    there = found.code.find(target.module)
                    for name in needed:
                        each = Target(target.module, name)
                        if found.stays(each) or (there is not None and _is_for_what_stays(found, there, name)):
                            found.revived[each] = (module, one.line)
                key = (module.name, one.line, one.bound, str(target))
                if fate is not Fate.TAKEN and key not in told:
                    told.add(key)
                    found.crossed.append(
                        Crossed(module, one.line, one.bound, target, fate, why, one.typing, one.nested)
                    )


def _take_names_of_its_own(found: Scope, module: Module, statement: Statement) -> None:
    if found.kept.get(module.name, set()) is None:
        return
    for name in statement.uses:
        for each in module.binders.get(name, ()):
            if (module.name, name) in found._staying or _is_for_what_stays(found, module, name):
                found.revived.setdefault(Target(module.name, name), (module, statement.first))
            elif not each.is_import:
                _take(found, module, each)


def _imports_for(found: Scope, module: Module, statement: Statement) -> Iterator[Import]:
    """The imports that a statement needs: those in it, and those of the module whose names it uses."""
    first, last = statement.first, statement.node.end_lineno or statement.first
    is_whole = found.kept.get(module.name, set()) is None
    for one in found.code.imports(module):
        inside = first <= one.line <= last
        if inside or (not is_whole and not one.nested and (one.bound in statement.uses or one.target.name == "*")):
            yield one


def _asked(found: Scope, module: Module, statement: Statement, one: Import) -> Iterator[tuple[Target, Collection[str]]]:
    """What an import asks for, and the names that are used of it if that is a module."""
    if one.target.name == "*":
        names = found.code.exports(one.target.module)
        used = {name for each in found.statements(module) for name in each.uses if name not in module.binders}
        if module.is_package or found.kept.get(one.target.module, set()) is None:
            used |= names
        for name in sorted(names & used):
            yield found.code.resolve(Target(one.target.module, name)), ()
        return
    target = found.code.resolve(one.target)
    if target.name:
        yield target, ()
        return
    nodes = [each.node for each in (found.statements(module) if statement.is_import else [statement])]
    inner = list(_attributes(found, one, [Statement(node, frozenset(), frozenset()) for node in nodes]))
    for each in inner:
        if not each.name:
            yield each, ()
    yield target, [each.name for each in inner if each.name]


def _is_asked_at_once(found: Scope, module: Module, statement: Statement, name: str) -> bool:
    """Whether importing the module needs what is so named, as a base, a decorator or a value: a port would raise."""
    if statement.is_import:
        if found.kept.get(module.name, set()) is None:
            return name in module.asked_at_once
        return any(name in used_at_once(each.node) for each in found.statements(module))
    return name in used_at_once(statement.node)


def _has_tables(found: Scope, module: str) -> bool:
    """Whether the module belongs to an app with tables, so that a port is where its calls go."""
    app = found.app_of(module)
    return app is not None and any(table.app == app.label and not table.joins for table in found.described.tables)


def _judge(
    found: Scope, target: Target, needed: Collection[str], stand_ins: Collection[str], *, at_once: bool
) -> tuple[Fate, str]:
    module = found.code.find(target.module)
    if module is None or found.kept.get(module.name, set()) is None:
        return (Fate.TAKEN, "") if module is not None else (Fate.LISTED, "its module is not found")
    table = found.model_at(target)
    if table is not None and not found.moves(table.name):
        return (Fate.STANDS_IN if table.name in stand_ins else Fate.PORT), f"{table.model} stays"
    if target.module in found._sliced:
        return _judge_apart(found, module, target, needed)
    if _configures(found, target):
        return Fate.CONFIGURED, "the service has a module of this name of its own"
    return _judge_other(found, module, target, needed, at_once=at_once)


def _judge_apart(found: Scope, module: Module, target: Target, needed: Collection[str]) -> tuple[Fate, str]:
    """Of an app that is cut apart, what is asked for comes along."""
    if target.name and _is_for_what_stays(found, module, target.name):
        return Fate.PORT, "it is made for a model that stays"
    for name in [target.name] if target.name else needed:
        for statement in module.binders.get(name, ()):
            if (target.module, name) not in found._staying and not _is_for_what_stays(found, module, name):
                _take(found, module, statement)
    if not target.name and not needed:
        found.kept.setdefault(module.name, set())
    return Fate.TAKEN, ""


def _judge_other(
    found: Scope, module: Module, target: Target, needed: Collection[str], *, at_once: bool
) -> tuple[Fate, str]:
    """A module of others comes along whole, or in parts, or is asked through a port."""
    why = impure(found, module)
    if not why:
        take_along(found, module)
        return Fate.TAKEN, ""
    names = [target.name] if target.name else list(needed)
    if names and all(name in module.binders for name in names) and (at_once or not _has_tables(found, module.name)):
        statements, reason = _slice(found, module, names)
        if not reason:
            found.along.add(module.name)
            for statement in statements:
                _take(found, module, statement)
            return Fate.TAKEN, ""
        why = reason
    return Fate.PORT, why


def _configures(found: Scope, target: Target) -> bool:
    programs = found.described.programs
    tops = {each.split(".")[0] for each in (programs.wsgi, programs.asgi, programs.celery) if each}
    top, _, rest = target.module.partition(".")
    return top in tops and (not rest or rest.split(".")[0] in CONFIGURING)


def take_along(found: Scope, module: Module) -> None:
    """Takes a module of others whole."""
    found.along.add(module.name)
    _take_whole(found, module)


def impure(found: Scope, module: Module) -> str:
    """Why a module is not taken along; empty if it is small, has no models and does nothing when it is imported."""
    if module.name not in found._pure:
        found._pure[module.name] = _impure(found, module, {})
    return found._pure[module.name]


def _impure(found: Scope, module: Module, seen: dict[str, Module]) -> str:
    if module.name in seen:
        return ""
    seen[module.name] = module
    models = [table.model for (name, _), table in found._staying.items() if name == module.name]
    models += [table.model for (name, _), table in found._moving.items() if name == module.name]
    if models:
        return f"{module.name} has models: {', '.join(models[:3])}"
    # Not read any further, so that a large project is not read whole.
    if sum(each.lines for each in seen.values()) > MOST_LINES:
        return f"with what it imports it has more than {MOST_LINES} lines"
    if any(name in ("__getattr__",) for name in module.binders):
        return f"{module.name} makes its names when it is asked for them"
    acts = ((each, _acts(each.node)) for each in module.statements)
    acting = next((f"{module.place(each.first)} {why}" for each, why in acts if why), "")
    imports = (_impure_import(found, one.target, seen) for one in found.code.imports(module))
    return acting or next((why for why in imports if why), "")


def _impure_import(found: Scope, target: Target, seen: dict[str, Module]) -> str:
    resolved = found.code.resolve(target)
    there = found.code.find(resolved.module)
    if resolved.module in found._sliced and resolved.name and not found.stays(resolved):
        return ""
    if there is None or found.kept.get(there.name, set()) is None:
        return ""
    if _configures(found, resolved):
        return f"it imports {resolved.module}, which configures the project"
    return _impure(found, there, seen)


def _acts(node: ast.stmt) -> str:
    """What a statement does when its module is imported, besides making names."""
    for decorator in getattr(node, "decorator_list", []):
        name = dotted(decorator.func if isinstance(decorator, ast.Call) else decorator)
        if name.split(".")[-1] in _REGISTERS:
            return f"registers by @{name}"
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        return f"calls {dotted(node.value.func) or 'something'} when it is imported"
    if isinstance(node, (ast.For, ast.While, ast.With)):
        return "runs when it is imported"
    return ""


def _slice(found: Scope, module: Module, names: Sequence[str]) -> tuple[list[Statement], str]:
    """The statements of a module that make the names, with what they need; or why they are not taken along."""
    kept: dict[int, Statement] = {}
    waiting, seen = list(names), dict[str, Module]()
    lines = 0
    while waiting:
        name = waiting.pop()
        if (module.name, name) in found._staying:
            return [], f"{module.name}.{name} is a model that stays"
        if (module.name, name) in found._moving:
            continue
        for statement in module.binders.get(name, ()):
            if statement.first in kept:
                continue
            kept[statement.first] = statement
            if not statement.is_import:
                if why := _acts(statement.node):
                    return [], f"{module.place(statement.first)} {why}"
                lines += (statement.node.end_lineno or 0) - statement.first + 1
                waiting += [each for each in statement.uses if each in module.binders]
            if why := _impure_imports(found, module, statement, {*names, name}, kept=kept, seen=seen):
                return [], why
    lines += sum(each.lines for each in seen.values())
    if lines > MOST_LINES:
        return [], f"with what it needs it has {lines} lines, more than {MOST_LINES}"
    return list(kept.values()), ""


def _impure_imports(
    found: Scope,
    module: Module,
    statement: Statement,
    names: Collection[str],
    *,
    kept: Mapping[int, Statement],
    seen: dict[str, Module],
) -> str:
    """Why what a statement imports keeps it from being taken along."""
    for one in found.code.imports(module):
        inside = statement.first <= one.line <= (statement.node.end_lineno or 0)
        if not inside or (statement.is_import and one.bound not in names):
            continue
        target = found.code.resolve(one.target)
        if found.stays(target):
            return f"it uses {target}, a model that stays"
        if not target.name and target.module in found._sliced:
            nodes = [each.node for each in kept.values()]
            asked = [Target(target.module, each) for each in attributes(one, nodes)]
            stay = [str(each) for each in asked if found.stays(found.code.resolve(each))]
            if stay:
                return f"it uses {', '.join(stay)}, which stays"
        elif why := _impure_import(found, target, seen):
            return why
    return ""


def _tell_what_is_cut(found: Scope, app: App) -> None:
    for module in _modules_of(found, app):
        lines = found.kept.get(module.name, set())
        if module.name not in found.kept:
            if module.tree.body:
                found.left_out.append((module.place(1), f"{module.name}: nothing that moves needs it"))
            continue
        for statement in module.statements:
            if lines is None or statement.first in lines or statement.is_import or not statement.binds:
                continue
            names = ", ".join(sorted(statement.binds))
            stays = any((module.name, name) in found._staying for name in statement.binds)
            why = "its table stays" if stays else "nothing that moves needs it, or it uses models that stay"
            found.left_out.append((module.place(statement.first), f"{module.name}: {names}: {why}"))


def _take_packages(found: Scope) -> None:
    """The packages that modules lie in: as they are where they are pure, else empty."""
    for name in list(found.kept):
        parts = name.split(".")
        for count in range(1, len(parts)):
            package = found.code.find(".".join(parts[:count]))
            if package is None or package.name in found.kept:
                continue
            if package.name in found._sliced:
                found.kept[package.name] = set()
            elif impure(found, package) or package.lines > MOST_LINES:
                found.blank.add(package.name)
                found.kept[package.name] = set()
            else:
                _take_whole(found, package)
    follow(found, ())
