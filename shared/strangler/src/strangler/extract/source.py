"""The source half of an extraction: a capability's code, cut out of the project that has it."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Collection, Mapping
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Literal

from strangler.domain.errors import ConfigurationError
from strangler.domain.project import Capability
from strangler.extract.code import seams
from strangler.extract.code.carrying import Carried
from strangler.extract.code.modules import Code, Module, Target, used_to_run
from strangler.extract.code.named import take_named
from strangler.extract.code.packages import Packages, look_into_packages, needed_apps, packages
from strangler.extract.code.plan import Import, Plan, models_named, plan
from strangler.extract.code.ports import ELSEWHERE, port_file, ports
from strangler.extract.code.relations import STAND_INS, Crossings, crossings, fields_of, key_of, stand_in_files
from strangler.extract.code.scope import Crossed, Fate, Scope, finish, is_test, scope
from strangler.extract.draft import Decision, Kind, Source, TakenApp, TakenRoute
from strangler.init.described import Described

_QUOTED = re.compile(r"""["']([\w-]+(?::[\w-]+)*)["']""")
# What lets a relation take the user of a request.
STANDING = "chassis.identity.standing"


def draft_source(
    project: Described,
    capability: Capability,
    root: Path,
    *,
    relations: Literal["keys", "numbers"] = "keys",
    tell: Callable[[str], None] = lambda what: None,
) -> Source:
    """The code of the capability, as files of a service, and what a person has to decide about it.

    ``root`` is the folder of manage.py. ``relations`` says what becomes of fields that point at what stays: foreign
    keys without a constraint to models without rows, or plain numbers. It only reads. ``tell`` hears what is begun.

    Raises:
        ConfigurationError: libcst is not installed; the project has not described itself; none of the capability's
            tables has a model; or a file that is needed cannot be read, with its line.
    """
    _require(project, capability)
    numbers = relations == "numbers"
    tell("models")
    code = Code(root, project)
    moving = {table.name for table in project.tables if table.name in {*map(_plain, capability.tables)}}
    beside = packages(code, project, capability, moving)
    labels = _labels_beside(project, beside, moving)
    found = crossings(code, project, moving, numbers=numbers, beside=labels)
    tell("imports")
    # A class that names a model needs one; where relations are numbers, a port has something in its place.
    named = {table.name for table in project.tables if not table.joins and table.name not in moving}
    stand_ins = found.stand_ins if numbers else named
    taken = scope(code, project, capability, stand_ins=stand_ins)
    take_named(taken, stand_ins)
    finish(taken)
    asked = [one.target for one in taken.crossed if one.fate is Fate.STANDS_IN]
    for table in [taken.model_at(target) for target in (*asked, *([] if numbers else taken.revived))]:
        if table is not None:
            found.stand_ins.setdefault(table.name, (table, key_of(project, table)))
    for module in taken.modules():
        for table in {} if is_test(module.name) else models_named(taken, module).values():
            if table.app not in labels:
                found.stand_ins.setdefault(table.name, (table, key_of(project, table)))
    if not taken.apps and not taken.installed:
        raise ConfigurationError(
            "none of its tables has a model in the project", place=f"capabilities.{capability.name}.tables",
            remedy="write the tables as the database has them; `strangler init --check` names what has drifted",
        )  # fmt: skip
    tell("rewriting")
    return _Drafting(code, taken, found, beside, numbers=numbers).source(tell)


def _labels_beside(project: Described, beside: Packages, moving: Collection[str]) -> set[str]:
    """The apps whose models the service has because a package needs them: its own, those that it imports, and those
    that its relations point at."""
    if not beside.apps:
        return set()
    tables = {table.name: table for table in project.tables}
    labels = {*beside.apps, *(app.label for app in needed_apps(beside, ()))}
    while True:
        pointed = {
            tables[one.to].app for one in project.references
            if one.to in tables and one.table in tables and tables[one.table].app in labels
        }  # fmt: skip
        more = {label for label in pointed - labels if not project.apps[label].own}
        if not more:
            return labels
        labels |= more


def _require(project: Described, capability: Capability) -> None:
    if find_spec("libcst") is None:
        raise ConfigurationError(
            "source is rewritten by libcst, which is not installed", place="strangler extract",
            remedy="install the tool with its extra `extract`: pip install './kit/shared/strangler[extract]'",
            id="not-installed",
        )  # fmt: skip
    if not project.whole:
        raise ConfigurationError(
            "the project has not described itself, so that its models are not known", place=project.name,
            remedy="let `manage.py strangler_init` describe it, with the chassis of the same version as this tool",
        )  # fmt: skip


def _distributions(project: Described) -> Mapping[str, str]:
    """By module of an installed package what pip calls it, as far as the project tells."""
    told: Mapping[str, object] = getattr(project, "distributions", {})
    return {module: str(getattr(one, "name", one)) for module, one in told.items()}


def _count(node: ast.AST, name: str) -> int:
    return sum(isinstance(each, ast.Name) and each.id == name for each in ast.walk(node))


def _plain(table: str) -> str:
    return table.removeprefix("public.")


class _Drafting:
    def __init__(self, code: Code, taken: Scope, found: Crossings, beside: Packages, *, numbers: bool) -> None:
        self.code, self.taken, self.found, self.numbers = code, taken, found, numbers
        self.beside = beside
        self.files: dict[PurePosixPath, str] = {}
        self.decisions: list[Decision] = [*found.decisions]
        self.lines_taken = self.lines_changed = self.lines_written = 0
        self.standing: dict[tuple[str, int], tuple[Import, ...]] = {}
        self._asking: dict[Crossed, Module] = {}

    def source(self, tell: Callable[[str], None]) -> Source:
        plans = {module.name: plan(self.taken, module, self.found, numbers=self.numbers)
                 for module in self.taken.modules()}  # fmt: skip
        self._imports(plans)
        for module in self.taken.modules():
            self._write(module, plans[module.name])
        self._write_stand_ins()
        tell("queries")
        seen = seams.look(self.taken, self.found, numbers=self.numbers)
        self.decisions += seen.decisions
        self.decisions += seams.heard_elsewhere(self.code, self.taken, seen)
        for module in self.taken.modules():
            if is_test(module.name):
                self.decisions += seams.imports_of_tests(self.taken, module)
        settings = {name: place for name, place in seen.settings.items() if self._is_read(name)}
        self.decisions += [
            Decision(place, Kind.SETTING, f"settings.{name} is read", "give it the same value on both sides", False)
            for name, place in settings.items()
        ]
        self.decisions += [
            Decision(place, Kind.IMPORT, f"was left out: {what}", "nothing, unless the capability needs it", False)
            for place, what in self.taken.left_out
        ]
        carried = Carried(self.taken)
        carried.carry(seen)
        self.files |= carried.files
        self.decisions += carried.decisions
        self._installed()
        read, asked = look_into_packages(self.beside, self.taken, self.found)
        self.decisions += asked
        modules = [each for each in self.taken.modules() if not is_test(each.name)]
        return Source(
            files=self.files,
            decisions=tuple(sorted(set(self.decisions))),
            apps=tuple(self._apps()),
            routes=tuple(self._routes()),
            packages=tuple(self._packages(modules)),
            settings=tuple(sorted(settings)),
            copies=carried.copies,
            loose=tuple(sorted({one.label for one in self.found.loose})),
            read=read,
            named=self._named_by_packages(),
            libraries=self.taken.libraries,
            not_taken=self.taken.not_taken,
            lines_taken=self.lines_taken,
            lines_changed=self.lines_changed,
            lines_written=self.lines_written,
        )

    def _packages(self, modules: list[Module]) -> list[str]:
        known = _distributions(self.taken.described)
        tops = {app.module.split(".")[0] for app in self.taken.installed}
        tops |= {app.module.split(".")[0] for app in self._beside()}
        tops |= {one.inherited.split(".")[0] for one in self.found.fields if one.inherited}
        views = {one.view.split(".")[0] for one in self.taken.requests}
        tops |= {top for top in views if self.code.find(top) is None and not self.code.is_folder(top)}
        return sorted({*seams.packages(modules, self.code, known), *(known.get(top, top) for top in tops)})

    def _is_read(self, name: str) -> bool:
        """Whether a setting is still read: fields that point at the model of accounts do not say so any more."""
        return any(re.search(rf"\b{name}\b", text) for path, text in self.files.items() if path.suffix == ".py")

    def _imports(self, plans: dict[str, Plan]) -> None:
        """What each import that leads elsewhere becomes, and the ports that take the place of what is there."""
        for one in list(self.taken.crossed):
            if self._is_for_fields(one):
                self.taken.crossed.remove(one)
                plans[one.module.name].imports[one.line, one.bound] = ()
        self._ports(plans)
        for one in self.taken.crossed:
            if one.fate is Fate.STANDS_IN:
                self._stand_in(plans[one.module.name], one)
            elif one.fate is Fate.CONFIGURED:
                self._tell(one, f"{one.target} configures the project: {one.why}", "see that it has this name",
                           open=False)  # fmt: skip
            elif one.fate is Fate.LISTED:
                self._tell(one, f"{one.target} did not come along: {one.why}", "write it anew, or leave it out")
        for name in sorted(self.taken.along):
            module = self.code.find(name)
            if module is not None:
                part = "was" if self.taken.kept.get(name) is None else "was in parts"
                self.decisions.append(
                    Decision(module.place(1), Kind.IMPORT, f"{name} {part} taken along, for moving code imports it",
                             "nothing", False, str(module.path))
                )  # fmt: skip
        for module in self.taken.modules():
            if not is_test(module.name):
                self._follow_names(plans[module.name], module)

    def _ports(self, plans: dict[str, Plan]) -> None:
        revived = self._revived()
        asked = [one for one in self.taken.crossed if one.fate is Fate.PORT]
        made, instead = ports(self.taken, [*asked, *revived])
        for one in revived:
            self._revive(plans[one.target.module], one, instead.pop(one))
        for name, port in made.items():
            self._text(f"{name.replace('.', '/')}.py", port_file(self.taken, port))
            package = f"{name.rpartition('.')[0].replace('.', '/')}/__init__.py"
            if PurePosixPath(package) not in self.files:
                self._text(package, ELSEWHERE)
        for one, imports in instead.items():
            self._instead(plans[one.module.name], one, imports)
            file = f"{imports[0].module.replace('.', '/')}.py"
            self._tell(one, f"{one.target} did not come along ({one.why}): its calls go to a port",
                       f"answer them in {file}", open=True, target=file)  # fmt: skip
        for (name, line), imports in self.standing.items():
            plans[name].cut[line] = imports

    def _stand_in(self, made: Plan, one: Crossed) -> None:
        table = self.taken.model_at(one.target)
        assert table is not None
        cls = self.found.stand_in(table.name)
        bound = one.target.name if one.bound == "*" else one.bound
        self._instead(made, one, (Import(f"{STAND_INS}.models", cls, bound),))
        self._tell(
            one, f"{one.target} stays: the model that stands in for it has its key, and no rows",
            "let a port ask its owner where more than the class is used", open=not self._is_hint(one),
            target=f"{STAND_INS}/models.py",
        )  # fmt: skip

    def _is_for_fields(self, one: Crossed) -> bool:
        """Whether only fields name it, which name what stands in for it, or nothing, after they are rewritten."""
        if not one.target.name or one.bound == "*":
            return False
        places = {(each.owner, each.field) for each in self.found.fields if each.module == one.module.name}
        calls = [
            call for cls, node in one.module.classes.items() for name, call in fields_of(node) if (cls, name) in places
        ]
        inner = sum(_count(call, one.bound) for call in calls)
        return inner > 0 and inner == sum(_count(each.node, one.bound) for each in self.taken.statements(one.module))

    def _is_hint(self, one: Crossed) -> bool:
        """Whether only annotations name it, which Python does not evaluate in this module."""
        later = any(isinstance(each.node, ast.ImportFrom) and each.node.module == "__future__" for each in
                    one.module.statements)  # fmt: skip
        used = (name for each in self.taken.statements(one.module) for name in used_to_run(each.node))
        return one.typing or (later and one.bound not in used)

    def _instead(self, made: Plan, one: Crossed, imports: tuple[Import, ...]) -> None:
        place = (one.line, one.bound)
        had = made.imports.get(place, ())
        if one.bound == "*" and not had and one.target.module in self.taken.kept:
            star = next((each for each in self.code.imports(one.module) if each.line == one.line), None)
            had = (Import(star.target.module, "*", ""),) if star else ()
        made.imports[place] = tuple(dict.fromkeys((*had, *imports)))

    def _follow_names(self, made: Plan, module: Module) -> None:
        """Imports whose names are written elsewhere than where they were imported from, or did not come along."""
        is_whole = self.taken.kept.get(module.name, set()) is None
        for one in self.code.imports(module):
            place = (one.line, one.bound)
            if place in made.imports or one.target.name == "*" or one.whole:
                continue
            target = self.code.resolve(one.target)
            if target != one.target and self.taken.is_taken(target) and not self._is_reached(one.target):
                made.imports[place] = (Import(target.module, target.name, one.bound),) if target.name else ()
            elif not is_whole and not self.taken.is_taken(target) and not self._is_said(one, module):
                made.imports[place] = ()
        made.gone = {bound for (_, bound), imports in made.imports.items() if not imports}
        made.gone |= {
            name for each in module.statements if each.first in made.cut and not made.cut[each.first]
            for name in each.binds
        }  # fmt: skip

    def _revived(self) -> list[Crossed]:
        """Models that stay, which other code asks of the module that they were written in."""
        found = []
        for target, (module, line) in self.taken.revived.items():
            there = self.code.find(target.module)
            table = self.taken.model_at(target)
            if there is None or self.taken.kept.get(there.name) is None:
                continue
            why = f"{table.model} stays" if table is not None else "it is made for a model that stays"
            one = Crossed(there, line, target.name, target, Fate.PORT, why)
            if module is there and self._is_for_fields(one):
                continue
            if table is not None and table.name in self.found.stand_ins:
                statement = next(iter(there.binders[target.name]))
                cls = self.found.stand_in(table.name)
                self.standing[there.name, statement.first] = (Import(f"{STAND_INS}.models", cls, target.name),)
                self._tell_revived(module, line, target, f"{STAND_INS}/models.py")
            else:
                found.append(one)
                self._asking[one] = module
        return found

    def _revive(self, made: Plan, one: Crossed, imports: tuple[Import, ...]) -> None:
        statement = next(iter(one.module.binders[one.target.name]))
        made.cut[statement.first] = imports
        target = f"{imports[0].module.replace('.', '/')}.py"
        self._tell_revived(self._asking[one], one.line, one.target, target)

    def _tell_revived(self, module: Module, line: int, target: Target, file: str) -> None:
        self.decisions.append(
            Decision(module.place(line), Kind.IMPORT, f"{target} stays: only its name came along",
                     "let a port ask its owner where more than the class is used", True, file)
        )  # fmt: skip

    def _is_reached(self, target: Target) -> bool:
        """Whether a name can be imported from there in the service, re-exports among it."""
        lines = self.taken.kept.get(target.module, set())
        module = self.code.find(target.module)
        if lines is None:
            return True
        if module is None or target.module not in self.taken.kept or target.module in self.taken.blank:
            return False
        return any(each.is_import or each.first in lines for each in module.binders.get(target.name, ()))

    def _is_said(self, one: object, module: Module) -> bool:
        return any(
            each.module == module and each.line == getattr(one, "line", 0) and each.bound == getattr(one, "bound", "")
            for each in self.taken.crossed
        )

    def _tell(self, one: Crossed, says: str, remedy: str, *, open: bool = True, target: str = "") -> None:
        place = one.module.place(one.line)
        self.decisions.append(Decision(place, Kind.IMPORT, says, remedy, open, target or str(one.module.path)))

    def _write(self, module: Module, made: Plan) -> None:
        if module.name in self.taken.blank:
            self.files[module.path] = ""
            return
        text = module.text
        if not made.is_empty:
            from strangler.extract.code.rewriting import rewritten

            text = rewritten(made)
            for line, what in made.told:
                self.decisions.append(
                    Decision(module.place(line), Kind.REFERENCE, what, "see whether it is what people need", False,
                             str(module.path))
                )  # fmt: skip
        self.files[module.path] = text
        before, after = module.text.splitlines(), text.splitlines()
        self.lines_taken += len(after)
        self.lines_changed += len(set(after) - set(before))

    def _write_stand_ins(self) -> None:
        for path, text in stand_in_files(self.found, self.code, accounts=self._accounts()).items():
            self._text(path, text)

    def _accounts(self) -> str:
        """The table of accounts, if the service's chassis takes the user of a request for one of them."""
        described = self.taken.described
        return (described.user_table or "") if STANDING in described.provides else ""

    def _text(self, path: str, text: str) -> None:
        self.files[PurePosixPath(path)] = text
        self.lines_written += len(text.splitlines())

    def _apps(self) -> list[TakenApp]:
        found = []
        for app in [*self.taken.apps, *self.taken.installed]:
            models = tuple(
                sorted(
                    table.model.rpartition(".")[2] for table in self.taken._moving.values() if table.app == app.label
                )
            )
            config = app.config if self.taken.is_taken(Target(*app.config.rpartition(".")[::2])) else ""
            found.append(TakenApp(app.label, app.module, config if app.own else app.config, models, own=app.own))
        found += self._beside()
        if self.found.stand_ins:
            names = tuple(sorted(self.found.stand_in(name) for name in self.found.stand_ins))
            config = f"{STAND_INS}.apps.StandInsConfig"
            found.append(TakenApp(STAND_INS, STAND_INS, config, names, moved=False))
        return found

    def _beside(self) -> list[TakenApp]:
        """The other apps of packages whose tables move or whose views answer, which find them by their names, and
        the apps that these need."""
        have = {*self.taken.apps, *self.taken.installed}
        pointed = {one.to.app for one in self.found.loose}
        beside = [*self.beside.apps.values(), *needed_apps(self.beside, pointed)] if self.beside.apps else []
        return [
            TakenApp(app.label, app.module, app.config, moved=False, own=False) for app in beside if app not in have
        ]

    def _named_by_packages(self) -> frozenset[str]:
        """The names of URLs that the packages' code and templates have among their texts."""
        names = {one.name for one in self.taken.described.requests if one.name}
        words = {word for _, text in self.beside.texts() for word in _QUOTED.findall(text)} if names else set()
        return frozenset(names & words)

    def _installed(self) -> None:
        for app in self.taken.installed:
            tables = [table for table in self.taken._moving.values() if table.app == app.label]
            self.decisions.append(
                Decision(
                    tables[0].place, Kind.IMPORT,
                    f"{app.module} is code of an installed package: nothing of it was copied, and the service installs "
                    f"it with the package's other apps, whose tables it has for itself, and empty",
                    "see what its views ask of these, in this list and by `manage.py strangler_check` in the service",
                    False,
                )
            )  # fmt: skip

    def _routes(self) -> list[TakenRoute]:
        return [TakenRoute(one.path, one.view, one.name) for one in self.taken.requests]
