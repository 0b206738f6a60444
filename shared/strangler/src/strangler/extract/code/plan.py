"""What is to be changed in one module."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from strangler.extract.code.callers import callers
from strangler.extract.code.modules import Module, dotted, text_of
from strangler.extract.code.relations import STAND_INS, Crossing, Crossings, Way, fields_of
from strangler.extract.code.scope import Scope
from strangler.init.described import Table

ADMIN_RENAMED = frozenset({"list_display", "readonly_fields", "fields", "fieldsets", "list_display_links", "exclude"})
ADMIN_DROPPED = frozenset({"list_filter", "list_select_related", "search_fields", "autocomplete_fields", "ordering"})
DEEPEST = 20  # bases of bases
META = frozenset(
    {
        "unique_together",
        "index_together",
        "constraints",
        "indexes",
        "ordering",
        "get_latest_by",
        "order_with_respect_to",
    }
)


@dataclass(frozen=True, slots=True)
class Import:
    """What is imported in an alias's place."""

    module: str
    name: str
    bound: str


@dataclass(slots=True)
class Plan:
    """The changes. ``cut`` are first lines of statements, with what is imported in their place; ``imports`` are by line
    and bound name, None where nothing takes the alias's place; ``fields`` are by class and name. Of each class in
    ``renamed`` and ``admins``, names of fields have the name of their column, or go. ``callers`` are, by line and
    keyword, the keywords that take the caller's key."""

    module: Module
    cut: dict[int, tuple[Import, ...]] = field(default_factory=dict)
    imports: dict[tuple[int, str], tuple[Import, ...]] = field(default_factory=dict)
    fields: dict[tuple[str, str], Crossing] = field(default_factory=dict)
    stand_ins: dict[tuple[str, str], str] = field(default_factory=dict)
    renamed: dict[str, frozenset[str]] = field(default_factory=dict)
    crossed: dict[str, frozenset[str]] = field(default_factory=dict)
    admins: dict[str, frozenset[str]] = field(default_factory=dict)
    callers: dict[tuple[int, str], str] = field(default_factory=dict)
    added: dict[str, list[str]] = field(default_factory=dict)  # by class, statements at its beginning
    bases: dict[str, dict[str, str]] = field(default_factory=dict)  # by class, what takes a base's place
    models: dict[tuple[int, str], str] = field(default_factory=dict)  # by line and label of `get_model`, the stand-in
    needs: dict[str, None] = field(default_factory=dict)  # imports that the changes need
    numbers: bool = False
    gone: set[str] = field(default_factory=set)  # names that the module does not have any more
    told: list[tuple[int, str]] = field(default_factory=list)  # what was changed in texts, by line of the file

    @property
    def is_empty(self) -> bool:
        """Whether the file stays as it is."""
        changes = (
            self.cut,
            self.imports,
            self.fields,
            self.admins,
            self.crossed,
            self.callers,
            self.added,
            self.models,
        )
        return not any(changes)


def plan(scope: Scope, module: Module, found: Crossings, *, numbers: bool) -> Plan:
    """The changes but those of imports that become ports."""
    made = Plan(module, numbers=numbers, callers=callers(scope, module, found))
    by_model: dict[str, set[str]] = {}
    for one in found.fields:
        for model in one.models:
            by_model.setdefault(model, set()).add(one.field)
    _change_fields(scope, made, module, found)
    for name in module.classes:
        table = scope.model_at(_target(module, name))
        own = {field for owner, field in made.fields if owner == name}
        names = own | (by_model.get(table.model, set()) if table else set())
        if names:
            made.crossed[name] = frozenset(names)
            numbered = {one.field for one in found.fields if one.way is Way.NUMBER and one.field in names}
            if numbered:
                made.renamed[name] = frozenset(numbered)
    admins = {name: node for name, node in module.classes.items() if by_model and _is_admin(scope, module, node)}
    registered = _registered(module) if admins else []
    for name, node in admins.items():
        models = _administered(scope, module, node, registered)
        fields = {each for model in models for each in by_model.get(model, ())}
        if fields and (used := fields & _strings(node)):
            made.admins[name] = frozenset(used)
    lines = scope.kept.get(module.name, set())
    if lines is not None:
        for statement in module.statements:
            is_said = isinstance(statement.node, ast.Expr) and text_of(statement.node.value) is not None
            is_about = all(name.startswith("__") and name.endswith("__") for name in statement.binds)
            if (
                statement.first not in lines
                and not statement.is_import
                and not is_said
                and not (statement.binds and is_about)
            ):
                made.cut[statement.first] = ()
    return made


def _change_fields(scope: Scope, made: Plan, module: Module, found: Crossings) -> None:
    """What becomes of the fields that point at what stays, of bases that stay, and of models loaded by their names."""
    for one in found.fields:
        if one.module == module.name and (one.inherited or not _is_written(module, one)):
            _add(made, module, one, found)
        elif one.module == module.name:
            made.fields[one.owner, one.field] = one
            if one.way is Way.KEY and not _points_at_own_proxy(scope, module, one):
                made.stand_ins[one.owner, one.field] = found.stand_in(one.to.name)
    for (where, cls), parent in found.parents.items():
        if where == module.name:
            _stand_alone(scope, made, module, module.classes[cls], parent)
    made.models = {
        place: found.stand_in(table.name) for place, table in models_named(scope, module).items()
        if table.name in found.stand_ins
    }  # fmt: skip


def models_named(scope: Scope, module: Module) -> Mapping[tuple[int, str], Table]:
    """The models that stay, for which `get_model` is asked by texts; by line and label, in small letters."""
    labels = {one.model.lower(): one for one in scope.described.tables if one.model and not one.joins}
    found = {}
    for statement in scope.statements(module):
        for node in ast.walk(statement.node):
            if isinstance(node, ast.Call) and dotted(node.func).split(".")[-1] == "get_model":
                label = label_of(node)
                table = labels.get(label)
                if table is not None and not scope.moves(table.name):
                    found[node.lineno, label] = table
    return found


def label_of(node: ast.Call) -> str:
    """The model that a call of `get_model` names, in small letters; empty where its arguments are no texts."""
    given = [*node.args, *(each.value for each in node.keywords if each.arg in ("app_label", "model_name"))]
    return ".".join(text for arg in given if (text := text_of(arg)) is not None).lower()


def _points_at_own_proxy(scope: Scope, module: Module, one: Crossing) -> bool:
    """Whether the relation names a class that comes along, and has no table: a proxy of what stays."""
    call = next(call for name, call in fields_of(module.classes[one.owner]) if name == one.field)
    to = next((each.value for each in call.keywords if each.arg == "to"), call.args[0] if call.args else None)
    name = text_of(to) or (dotted(to) if to is not None else "")
    imported = {each.bound: each.target for each in scope.code.imports(module)}
    target = scope.code.resolve(imported.get(name) or _target(module, name))
    there = scope.code.find(target.module)
    is_class = there is not None and target.name in there.classes
    return is_class and scope.model_at(target) is None and scope.is_taken(target)


def _is_written(module: Module, one: Crossing) -> bool:
    cls = module.classes.get(one.owner)
    return cls is not None and any(name == one.field for name, _ in fields_of(cls))


def _add(made: Plan, module: Module, one: Crossing, found: Crossings) -> None:
    """Declares a field that the class has from elsewhere."""
    lines = made.added.setdefault(one.owner, [])
    if one.way is Way.CUT:
        lines.append(f"{one.field} = None")
        return
    to = f"{STAND_INS}.{found.stand_in(one.to.name)}"
    if not one.inherited:
        made.needs["from django.db import models"] = None
        column = "" if one.column in ("", f"{one.field}_id") else f', db_column="{one.column}"'
        lines.append(
            f'{one.field} = models.OneToOneField("{to}", db_constraint=False, on_delete=models.CASCADE, '
            f"primary_key=True{column})"
        )
        return
    base, _, cls = one.inherited.rpartition(".")
    bound = next(
        (alias.asname or alias.name for each in module.tree.body if isinstance(each, ast.ImportFrom)
         for alias in each.names if alias.name == cls),
        None,
    )  # fmt: skip
    if bound is None:
        made.needs[f"from {base} import {cls}"] = None
    made.needs[f"from {STAND_INS}.fields import loosened"] = None
    lines.append(f'{one.field} = loosened({bound or cls}, "{one.field}", to="{to}")')


def _stand_alone(scope: Scope, made: Plan, module: Module, node: ast.ClassDef, parent: Table) -> None:
    """A model that extends one that stays is a model by itself."""
    imported = {one.bound: one.target for one in scope.code.imports(module)}
    for base in node.bases:
        first, _, rest = dotted(base).partition(".")
        target = imported.get(first, _target(module, first))
        if rest and not target.name:
            target = _target(module, rest) if target.module == module.name else type(target)(target.module, rest)
        table = scope.model_at(scope.code.resolve(target))
        if table is not None and table.name == parent.name:
            made.needs["from django.db import models"] = None
            made.bases.setdefault(node.name, {})[dotted(base)] = "models.Model"


def _target(module: Module, name: str):  # type: ignore[no-untyped-def]
    from strangler.extract.code.modules import Target

    return Target(module.name, name)


def _strings(node: ast.ClassDef) -> set[str]:
    """The names of fields that a class names as texts."""
    texts = [text for each in ast.walk(node) if (text := text_of(each)) is not None]
    return {text.lstrip("-=^@?").split("__")[0] for text in texts}


def _is_admin(scope: Scope, module: Module, node: ast.ClassDef, depth: int = 0) -> bool:
    """By its bases and theirs, as far as the project has them."""
    names = [dotted(base).split(".")[-1] for base in node.bases]
    said = [dotted(each.func if isinstance(each, ast.Call) else each) for each in node.decorator_list]
    if any("Admin" in name or "Inline" in name for name in names) or any("register" in one for one in said):
        return True
    imported = {one.bound: one.target for one in scope.code.imports(module)}
    for name in names if depth < DEEPEST else ():
        target = scope.code.resolve(imported.get(name) or _target(module, name))
        there = scope.code.find(target.module)
        base = there.classes.get(target.name) if there is not None else None
        if there is not None and base is not None and _is_admin(scope, there, base, depth + 1):
            return True
    return False


def _registered(module: Module) -> list[ast.Call]:
    return [
        each
        for each in ast.walk(module.tree)
        if isinstance(each, ast.Call) and dotted(each.func).endswith("register") and len(each.args) > 1
    ]


def _administered(scope: Scope, module: Module, node: ast.ClassDef, registered: Sequence[ast.Call]) -> set[str]:
    """The models of an admin's class."""
    names: set[str] = set()
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Call):
            names |= {each.id for arg in decorator.args for each in ast.walk(arg) if isinstance(each, ast.Name)}
    for each in node.body:
        if isinstance(each, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "model" for t in each.targets):
            names |= {inner.id for inner in ast.walk(each.value) if isinstance(inner, ast.Name)}
    for call in registered:
        if isinstance(call.args[1], ast.Name) and call.args[1].id == node.name:
            names |= {inner.id for inner in ast.walk(call.args[0]) if isinstance(inner, ast.Name)}
    imported = {one.bound: one.target for one in scope.code.imports(module)}
    found = set()
    for name in names:
        target = scope.code.resolve(imported.get(name) or _target(module, name))
        if (table := scope.model_at(target)) is not None:
            found.add(table.model)
    return found


def unused(before: ast.Module, after: str) -> Mapping[tuple[int, str], None]:
    """The imports of a changed text whose names were used before, and are not any more; by line and name."""
    tree = ast.parse(after)
    had, has = _names(before), _names(tree)
    found: dict[tuple[int, str], None] = {}
    for node in ast.walk(tree):
        if not isinstance(node, (ast.Import, ast.ImportFrom)) or getattr(node, "module", "") == "__future__":
            continue
        for alias in node.names:
            name = alias.asname or alias.name.split(".")[0]
            if name in had and name not in has:
                found[node.lineno, name] = None
    return found


def _names(tree: ast.Module) -> set[str]:
    from strangler.extract.code.modules import _used

    return {name for node in tree.body for name in _used(node)} | {
        text for each in ast.walk(tree) if isinstance(each, ast.Assign) and _is_all(each)
        for inner in ast.walk(each.value) if (text := text_of(inner)) is not None
    }  # fmt: skip


def _is_all(node: ast.Assign) -> bool:
    return any(isinstance(each, ast.Name) and each.id == "__all__" for each in node.targets)
