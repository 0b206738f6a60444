"""Installed packages that the service runs: nothing of them is copied, and they are read for what they ask across the
seam."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from strangler.domain.project import Capability
from strangler.domain.words import counted
from strangler.extract.code.modules import Code, Module, dotted, text_of
from strangler.extract.code.relations import Crossings
from strangler.extract.code.scope import Scope, is_routed
from strangler.extract.draft import Decision, Kind
from strangler.init.described import App, Described, Table

_IMPORTED = re.compile(r"^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+import[ \t]+(\([^)]*\)|.*)|import[ \t]+(.+))$", re.MULTILINE)
_LOADED = re.compile(r"\{%-?\s*load\s+([^%]*?)-?%\}")
# Only admins, tests and programs run these.
_ASIDE = frozenset({"admin", "conftest", "factories", "management", "migrations", "test", "tests", "testing"})
_TEMPLATES = (".html", ".txt", ".xml", ".jinja", ".jinja2")
_LOADING = frozenset({"get_model", "get_class", "get_classes"})
_OF_KEYS = frozenset({"", "id", "pk", "in", "isnull", "exact"})
# Frameworks: a view of theirs does not make the service need their apps.
_FRAMEWORKS = frozenset({"chassis", "django", "rest_framework"})


@dataclass(frozen=True)
class Packages:
    """``apps`` are all apps of the packages whose tables move or whose views answer, by label; ``folders`` are theirs
    by top module, as far as they lie on this machine."""

    described: Described
    apps: dict[str, App]
    folders: dict[str, Path]
    imports: frozenset[str] = frozenset()  # what their code imports
    tags: frozenset[str] = frozenset()  # the libraries that their templates load
    unread: tuple[str, ...] = field(default=())  # top modules of packages that do not lie here

    def has(self, module: str) -> bool:
        """Whether a module belongs to one of them."""
        return module.partition(".")[0] in {app.module.split(".")[0] for app in self.apps.values()}

    def texts(self) -> Iterator[tuple[Path, str]]:
        """Their Python files and templates."""
        for folder in self.folders.values():
            for file in sorted(folder.rglob("*")):
                if file.suffix in (".py", *_TEMPLATES) and not _ASIDE & {
                    *file.relative_to(folder).with_suffix("").parts
                }:
                    try:
                        yield file, file.read_text(encoding="utf-8")
                    except (OSError, UnicodeDecodeError):
                        continue

    def code(self) -> Code:
        """Their modules."""
        made = Code(Path("/nonexistent"), Described(self.described.name, whole=True))
        made.bases = [folder.parent for folder in self.folders.values()]
        return made


def packages(code: Code, described: Described, capability: Capability, moving: Collection[str]) -> Packages:
    """The packages that the capability consists of, read once."""
    tops: set[str] = set()
    for table in described.tables:
        app = described.apps.get(table.app)
        if table.name in moving and app is not None and (not app.own or not _is_in(code, table.module)):
            tops.add((app.module if not app.own else table.module).split(".")[0])
    with_tables = {
        described.apps[one.app].module.split(".")[0] for one in described.tables if one.app in described.apps
    }
    for request in described.requests:
        top = request.view.split(".")[0]
        if is_routed(request, capability) and not _is_in(code, top) and top in with_tables - _FRAMEWORKS:
            tops.add(top)
    apps = {label: app for label, app in described.apps.items() if not app.own and app.module.split(".")[0] in tops}
    tops = {app.module.split(".")[0] for app in apps.values()} - _FRAMEWORKS
    folders = {
        top: Path(described.folders[top]) for top in sorted(tops) if Path(described.folders.get(top, "-")).is_dir()
    }
    found = Packages(described, apps, folders, unread=tuple(sorted(tops - folders.keys())))
    imports: set[str] = set()
    tags: set[str] = set()
    for file, text in found.texts():
        if file.suffix == ".py":
            for base, names, modules in _IMPORTED.findall(text):
                words = [one.split()[0] for one in re.split(r"[,()]", names or modules) if one.strip()]
                imports |= {base, *(f"{base}.{one}" for one in words)} if base else {*words}
        else:
            tags |= {name for words in _LOADED.findall(text) for name in words.split()}
    return Packages(described, apps, folders, frozenset(imports), frozenset(tags), found.unread)


def _is_in(code: Code, module: str) -> bool:
    return code.find(module) is not None or code.is_folder(module.partition(".")[0])


def needed_apps(found: Packages, more: Collection[str]) -> list[App]:
    """Other packages' apps that these import, whose tags they load, or which are among the labels of ``more``."""
    needed = []
    for app in found.described.apps.values():
        if app.own or app.label in found.apps or app.module == "chassis":
            continue
        imported = any(name == app.module or name.startswith(f"{app.module}.") for name in found.imports)
        if imported or app.label in more or (found.tags and _has_tags(found, app)):
            needed.append(app)
    return needed


def _has_tags(found: Packages, app: App) -> bool:
    top, *inner = app.module.split(".")
    folder = found.described.folders.get(top)
    tags = Path(folder, *inner, "templatetags") if folder else None
    return tags is not None and any((tags / f"{name}.py").is_file() for name in found.tags)


def look_into_packages(found: Packages, scope: Scope, crossings: Crossings) -> tuple[dict[str, str], list[Decision]]:
    """The texts of the modules that were read, by name, and what they ask of models that stay.

    Read are the modules with views of the capability's routes, those with the models that move, and those with the
    classes from which these derive.
    """
    code = found.code()
    names = {table.module for table in scope._moving.values()}
    names |= {one.view.rpartition(".")[0] for one in scope.requests}
    modules = [each for name in sorted(names) for each in _with_bases(found, code, name)]
    texts, decisions, asked = dict[str, str](), list[Decision](), dict[str, list[str]]()
    for module in dict.fromkeys(modules):
        texts[module.name] = module.text
        for node, table, says in _asks(code, module, scope, crossings):
            place = f"{module.path}:{getattr(node, 'lineno', 1)}"
            asked.setdefault(table.name, []).append(place)
            remedy = f"see what is said of {table.name} above"
            decisions.append(Decision(place, Kind.QUERY, says, remedy, open=False))
    for name, places in sorted(asked.items()):
        decisions.append(
            Decision(
                places[0], Kind.QUERY,
                f"code of the package asks for rows of {name}, which stays, at {counted(len(places), 'place')}: the "
                f"service has this table for itself, and empty",
                "fill it by a stream of reference data (docs/how-to/parts-of-a-project.md), let its routes stay, or "
                "see that the key is enough there",
            )
        )  # fmt: skip
    for top in found.unread:
        decisions.append(
            Decision("", Kind.QUERY, f"the package {top} does not lie on this machine: its code was not read",
                     "run extract where the project's environment is, or look through it by hand")
        )  # fmt: skip
    return texts, decisions


def _with_bases(found: Packages, code: Code, name: str) -> Iterator[Module]:
    module = code.find(name)
    if module is None or not found.has(name):
        return
    yield module
    imported = {one.bound: one.target for one in code.imports(module)}
    for node in module.classes.values():
        for base in node.bases:
            target = imported.get(dotted(base).split(".")[0])
            there = code.find(code.resolve(target).module) if target else None
            if there is not None and there is not module and found.has(there.name):
                yield there


def _asks(code: Code, module: Module, scope: Scope, crossings: Crossings) -> Iterator[tuple[ast.AST, Table, str]]:
    bound = _models_in(code, module, scope)
    fields = {one.label.rpartition(".")[2]: one.to for one in crossings.loose}
    made = {id(inner) for node in ast.walk(module.tree) if isinstance(node, ast.Call)
            and dotted(node.func).split(".")[-1] in _LOADING for inner in ast.walk(node)}  # fmt: skip
    told: set[tuple[int, str]] = set()
    for node in ast.walk(module.tree):
        table, says = None, ""
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in bound and id(node) not in made:
            table = bound[node.id]
            says = f"{node.id} is {table.model}, which stays"
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute):
            inner = node.value
            if inner.attr in fields and dotted(inner.value).split(".")[-1] not in ("request", "models"):
                table = fields[inner.attr]
                says = f"{dotted(node) or f'….{inner.attr}.{node.attr}'} reads a row of {table.model}, which stays"
        elif isinstance(node, ast.keyword) and "__" in (node.arg or ""):
            first, _, rest = (node.arg or "").partition("__")
            if first in fields and rest not in _OF_KEYS:
                table = fields[first]
                says = f"{node.arg}=… joins {table.name}, which stays"
        elif isinstance(node, ast.Call) and (called := _called(node)) in ("select_related", "order_by"):
            names = [text for arg in node.args if (text := text_of(arg))]
            first = next(
                (one.lstrip("-").split("__")[0] for one in names if one.lstrip("-").split("__")[0] in fields), ""
            )
            if first:
                table = fields[first]
                says = f"{called}(…{first}…) joins {table.name}, which stays"
        line = getattr(node, "lineno", 0)
        if table is not None and (line, table.name) not in told:
            told.add((line, table.name))
            yield node, table, says


def _called(node: ast.Call) -> str:
    return dotted(node.func).split(".")[-1] or getattr(node.func, "attr", "")


def _models_in(code: Code, module: Module, scope: Scope) -> dict[str, Table]:
    """By name the models that stay, imported or loaded by their labels."""
    labels = {one.model.lower(): one for one in scope.described.tables if one.model and not one.joins}
    bound: dict[str, Table] = {}
    for one in code.imports(module):
        table = scope.model_at(code.resolve(one.target))
        if table is not None and not scope.moves(table.name):
            bound[one.bound] = table
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            called = dotted(node.value.func).split(".")[-1]
            texts = [text for arg in node.value.args if (text := text_of(arg)) is not None]
            table = labels.get(".".join(texts).lower()) if called == "get_model" else None
            if called == "get_user_model":
                table = scope.described.table(scope.described.user_table or "")
            if table is not None and not scope.moves(table.name):
                bound |= {each.id: table for each in node.targets if isinstance(each, ast.Name)}
    return bound
