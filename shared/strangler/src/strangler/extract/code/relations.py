"""Relations of what moves to what stays: which fields they are, and the models that stand in for what stays."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from strangler.extract.code.modules import Code, Module, Target, dotted, text_of
from strangler.extract.draft import Decision, Kind
from strangler.init.described import Described, Key, Reference, Table

STAND_INS = "standins"
# The type of a column that points at one of these.
POINTING = {
    "AutoField": "IntegerField",
    "BigAutoField": "BigIntegerField",
    "SmallAutoField": "SmallIntegerField",
    "PositiveIntegerField": "IntegerField",
    "PositiveBigIntegerField": "BigIntegerField",
    "PositiveSmallIntegerField": "SmallIntegerField",
    "SlugField": "CharField",
    "EmailField": "CharField",
    "URLField": "CharField",
}
LONG = frozenset({"CharField", "SlugField", "EmailField", "URLField", "BinaryField", "FileField", "FilePathField"})
MANY = "ManyToManyField"


class Way(Enum):
    """How a field is written in the service."""

    KEY = "key"  # a foreign key without a constraint, to a model without rows
    NUMBER = "number"  # a plain column
    CUT = "cut"


@dataclass(frozen=True, slots=True)
class Loose:
    """A relation of an installed package to what stays: its model is in the service, too. ``label`` is
    `app.Model.field`, ``place`` that of the model."""

    label: str
    to: Table
    place: str


@dataclass(frozen=True, slots=True)
class Crossing:
    """A field whose row is elsewhere. ``module`` and ``owner`` say in which class it is written; ``models`` are those
    that have it."""

    module: str
    owner: str
    field: str
    to: Table
    way: Way
    models: tuple[str, ...]
    key: Key | None = None
    column: str = ""
    on_delete: str = ""
    many: bool = False
    line: int = 1
    null: bool = False
    inherited: str = (
        ""  # the dotted name of a package's abstract class that declares it, and which ``owner`` derives from
    )

    @property
    def attribute(self) -> str:
        """The name of the column's attribute in either way."""
        return f"{self.field}_id"


@dataclass(slots=True)
class Crossings:
    """All of them, the tables that models stand in for, and what a person has to know of them."""

    beside: frozenset[str] = frozenset()
    fields: list[Crossing] = field(default_factory=list)
    stand_ins: dict[str, tuple[Table, Key | None]] = field(default_factory=dict)
    decisions: list[Decision] = field(default_factory=list)
    incoming: dict[str, str] = field(default_factory=dict)  # names of related managers, with the field that makes each
    loose: list[Loose] = field(default_factory=list)
    parents: dict[tuple[str, str], Table] = field(
        default_factory=dict
    )  # by class the model that it extends, and that stays

    def names(self) -> Collection[str]:
        """The names of the fields."""
        return {each.field for each in self.fields}

    def stand_in(self, table: str) -> str:
        """The name of the class that stands in for a table."""
        taken: dict[str, str] = {}
        for name, (one, _) in sorted(self.stand_ins.items()):
            cls = one.model.rpartition(".")[2]
            taken[name] = cls if cls not in taken.values() else f"{one.app.title().replace('_', '')}{cls}"
        return taken[table]


def crossings(
    code: Code, described: Described, moving: Collection[str], *, numbers: bool, beside: Collection[str] = ()
) -> Crossings:
    """The relations of the tables that move; ``beside`` are labels of apps whose models are in the service, too.

    Raises:
        ConfigurationError: a file with a model cannot be read.
    """
    found = Crossings(beside=frozenset(beside))
    tables = {table.name: table for table in described.tables}
    for reference in described.references:
        here, there = tables.get(reference.table), tables.get(reference.to)
        if here is None or there is None:
            continue
        if here.joins:
            continue
        if here.name in moving and there.name not in moving:
            _outgoing(found, code, reference, here, there, numbers=numbers)
        elif there.name in moving and here.name not in moving:
            _incoming(found, code, reference, here, there)
    for table in described.tables:
        if table.joins:
            _joined(found, code, described, table, tables=tables, moving=moving)
        elif table.name in moving:
            for name in table.generic:
                found.decisions.append(
                    Decision(
                        table.place, Kind.REFERENCE,
                        f"{table.model}.{name} is a generic key: it holds numbers of content types, which each "
                        f"database gives by itself, and points at rows that may be elsewhere",
                        "make the numbers of content types equal on both sides before the move, and let what reads "
                        "the object ask its owner",
                    )
                )  # fmt: skip
    _through(found, code, tables, moving, numbers=numbers)
    for one in found.fields:
        if one.way is Way.KEY:
            found.stand_ins.setdefault(one.to.name, (one.to, one.key))
    found.fields = _merged(found.fields)
    return found


def _merged(fields: Sequence[Crossing]) -> list[Crossing]:
    """A field of an abstract class is one, whatever models have it."""
    by_place: dict[tuple[str, str, str], Crossing] = {}
    for one in fields:
        place = (one.module, one.owner, one.field)
        had = by_place.get(place)
        models = one.models if had is None else tuple(dict.fromkeys((*had.models, *one.models)))
        made = had or one
        by_place[place] = Crossing(
            made.module, made.owner, made.field, made.to, made.way, models, made.key, made.column, made.on_delete,
            made.many, made.line, made.null or one.null, made.inherited,
        )  # fmt: skip
    return list(by_place.values())


def _outgoing(found: Crossings, code: Code, reference: Reference, here: Table, there: Table, *, numbers: bool) -> None:
    name = reference.field.rpartition(".")[2]
    label = f"{here.model}.{name}"
    if reference.numbers:
        found.decisions.append(
            Decision(
                here.place, Kind.REFERENCE,
                f"{label} holds numbers of {reference.numbers}, which each database gives by itself",
                "make them equal on both sides before the move (`strangler preflight` compares them)", open=False,
            )
        )  # fmt: skip
        return
    module, owner = _split(reference.declared or f"{here.module}.{here.model.rpartition('.')[2]}")
    line = _line(code, module, owner, name)
    if line is None:
        _outgoing_of_package(found, code, reference, here, there, declared=f"{module}.{owner}")
        return
    way = Way.NUMBER if numbers else Way.KEY
    found.fields.append(
        Crossing(module, owner, name, there, way, (here.model,), reference.key, reference.column,
                 reference.on_delete, line=line, null=reference.null)
    )  # fmt: skip
    call = _call(code, module, owner, name)
    if call is not None and _argument(call, "parent_link") is not None:
        _stands_alone(found, code, reference, here, there)
    source = code.find(module)
    place = source.place(line) if source else here.place
    how = "a plain number with its column" if numbers else "a foreign key without a constraint, to a model without rows"
    found.decisions.append(
        Decision(place, Kind.REFERENCE, f"{label} points at {there.name}, which stays: it became {how}",
                 "nothing, unless the code follows it; each such place is in this list", open=False)
    )  # fmt: skip
    _tell_cascade(found, place, label, there, reference.on_delete)


def _outgoing_of_package(
    found: Crossings, code: Code, reference: Reference, here: Table, there: Table, *, declared: str
) -> None:
    """A field which no text of the project declares: a package's abstract class does, or its model, or Django for a
    model that extends another one."""
    name = reference.field.rpartition(".")[2]
    label = f"{here.model}.{name}"
    cls = here.model.rpartition(".")[2]
    module = code.find(here.module)
    node = module.classes.get(cls) if module else None
    if _is_beside(found, here, there):
        found.loose.append(Loose(label, there, here.place))
        says = (
            f"{label} is declared by a package, and points at {there.name}, which stays: the package's migrations make "
            f"its column, and CHASSIS_LOOSE takes its constraint away"
        )
        remedy = f"nothing; {there.name} is a table of the service, and empty"
    elif module is not None and node is not None and declared == f"{here.module}.{cls}":
        found.fields.append(
            Crossing(here.module, cls, name, there, Way.KEY, (here.model,), reference.key, reference.column,
                     "CASCADE", line=node.lineno)
        )  # fmt: skip
        _stands_alone(found, code, reference, here, there)
        return
    elif module is not None and node is not None:
        found.fields.append(
            Crossing(here.module, cls, name, there, Way.KEY, (here.model,), reference.key, reference.column,
                     reference.on_delete, line=node.lineno, null=reference.null, inherited=declared)
        )  # fmt: skip
        says = (
            f"{label} is declared by {declared} and points at {there.name}, which stays: it is declared anew in "
            f"{cls}, as a foreign key without a constraint, to a model without rows"
        )
        remedy = "nothing, unless the code follows it; each such place is in this list"
    else:
        found.decisions.append(
            Decision(
                here.place, Kind.REFERENCE,
                f"{label} points at {there.name}, which stays, and is written in the package "
                f"{here.module.partition('.')[0]}, whose text is its own; {there.model} is no model of a package",
                f"move {there.name}, too, or let the service have a model of this name and drop the constraint",
            )
        )  # fmt: skip
        return
    place = module.place(node) if module is not None and node is not None else here.place
    found.decisions.append(Decision(place, Kind.REFERENCE, says, remedy, open=False))
    _tell_cascade(found, place, label, there, reference.on_delete)


def _stands_alone(found: Crossings, code: Code, reference: Reference, here: Table, there: Table) -> None:
    """A model that extends one that stays cannot do so in the service."""
    cls = here.model.rpartition(".")[2]
    found.parents[here.module, cls] = there
    module = code.find(here.module)
    node = module.classes.get(cls) if module else None
    place = module.place(node) if module is not None and node is not None else here.place
    found.decisions.append(
        Decision(
            place, Kind.REFERENCE,
            f"{here.model} extends {there.model}, which stays, so that half of each row is in {there.name}: the "
            f"class became one of its own, with the column {reference.column}, and without what it inherited",
            f"move {there.name}, too, or ask its owner for that half", target=str(module.path) if module else "",
        )
    )  # fmt: skip


def _is_beside(found: Crossings, here: Table, there: Table) -> bool:
    """Whether the service has the model that is pointed at: that of a package, beside another one of a package."""
    return here.app in found.beside and there.app in found.beside


def _tell_cascade(found: Crossings, place: str, label: str, there: Table, action: str) -> None:
    if action not in ("DO_NOTHING", ""):
        found.decisions.append(
            Decision(
                place, Kind.CASCADE,
                f"when a row of {there.name} is deleted, {label} says {action}: the owner of "
                f"{there.name} deletes it elsewhere",
                "let the chassis of both sides send deletions (docs/explanation/requests.md), or handle a message; "
                "if its rows are never deleted, say `deletes = false` under parents", open=False,
            )
        )  # fmt: skip


def _incoming(found: Crossings, code: Code, reference: Reference, here: Table, there: Table) -> None:
    """A field of what stays gives a model that moves a manager, which the service does not have."""
    name = reference.field.rpartition(".")[2]
    module, owner = _split(reference.declared or f"{here.module}.{here.model.rpartition('.')[2]}")
    call = _call(code, module, owner, name)
    given = _keyword(call, "related_name")
    cls = here.model.rpartition(".")[2].lower()
    related = given or (cls if reference.unique else f"{cls}_set")
    if related and not related.endswith("+"):
        related = related.replace("%(class)s", cls).replace("%(app_label)s", here.app)
        found.incoming.setdefault(related, f"{here.model}.{name}")
    if reference.on_delete in ("PROTECT", "RESTRICT"):
        found.decisions.append(
            Decision(here.place, Kind.CASCADE,
                     f"{here.model}.{name} keeps rows of {there.name} from being deleted ({reference.on_delete}): the "
                     f"service does not see it",
                     "name it under references in strangler.toml, so that deletions are asked of its owner",
                     open=False)
        )  # fmt: skip
    elif reference.on_delete not in ("DO_NOTHING", ""):
        found.decisions.append(
            Decision(here.place, Kind.CASCADE,
                     f"when a row of {there.name} is deleted, {here.model}.{name} says {reference.on_delete}: its rows "
                     f"are elsewhere",
                     "name it under references in strangler.toml; the chassis there then does it", open=False)
        )  # fmt: skip


def _joined(
    found: Crossings,
    code: Code,
    described: Described,
    table: Table,
    *,
    tables: Mapping[str, Table],
    moving: Collection[str],
) -> None:
    """A many-to-many relation for which Django has made the table."""
    label, _, name = table.field.rpartition(".")
    parent = next((each for each in tables.values() if each.model == label and not each.joins), None)
    ends = [each for each in described.references if each.table == table.name]
    other = next((each for each in ends if parent is None or each.to != parent.name), ends[-1] if ends else None)
    there = tables.get(other.to) if other else None
    if parent is None or there is None or other is None:
        return
    if parent.name not in moving:
        if there.name in moving:
            found.incoming.setdefault(f"{label.rpartition('.')[2].lower()}_set", table.field)
        return
    if there.name in moving and table.name in moving:
        return
    if other.numbers:
        found.decisions.append(
            Decision(parent.place, Kind.REFERENCE,
                     f"{table.field} joins with {other.numbers}, which each database numbers by itself: {table.name} "
                     f"is made in the service, and stays empty",
                     "give the rows that are needed there by hand", open=False)
        )  # fmt: skip
        return
    place = _declaring(code, parent, name)
    if place is None:
        _joined_by_package(found, code, parent, there, table=table, other=other, moves=table.name in moving)
        return
    module, owner, line = place
    way = Way.KEY if table.name in moving else Way.CUT
    found.fields.append(Crossing(module, owner, name, there, way, (label,), other.key, many=True, line=line))
    source = code.find(module)
    says = (
        f"{table.field} joins with {there.name}, which stays: its table moves, and it became a relation without "
        f"constraints to a model without rows"
        if way is Way.KEY
        else f"{table.field} joins with {there.name} in {table.name}, which does not move: the field was taken out"
    )
    remedy = (
        "nothing, unless the code follows it; each such place is in this list"
        if way is Way.KEY
        else f"move {table.name}, too, or ask the owner for what the field said"
    )
    shown = source.place(line) if source else parent.place
    found.decisions.append(Decision(shown, Kind.REFERENCE, says, remedy, open=way is Way.CUT))


def _joined_by_package(
    found: Crossings, code: Code, parent: Table, there: Table, *, table: Table, other: Reference, moves: bool
) -> None:
    """A many-to-many relation that a package declares."""
    name = table.field.rpartition(".")[2]
    cls = parent.model.rpartition(".")[2]
    module = code.find(parent.module)
    node = module.classes.get(cls) if module else None
    what = f"{table.field} is declared by a package, and joins with {there.name}, which stays"
    if _is_beside(found, parent, there):
        found.loose.append(Loose(table.field, there, parent.place))
        does = "" if moves else f"; {table.name} does not move, and stays empty"
        found.decisions.append(
            Decision(parent.place, Kind.REFERENCE, f"{what}: CHASSIS_LOOSE takes its constraint away{does}",
                     f"move {table.name}, too, if the package writes it" if does else "nothing", open=not moves)
        )  # fmt: skip
    elif module is not None and node is not None:
        way = Way.KEY if moves else Way.CUT
        declared = _declared_by(module, node)
        found.fields.append(
            Crossing(parent.module, cls, name, there, way, (parent.model,), other.key, many=True, line=node.lineno,
                     inherited=declared)
        )  # fmt: skip
        does = (
            "its table moves, and it is declared anew without constraints, to a model without rows"
            if moves else f"{table.name} does not move, and the field was taken out"
        )  # fmt: skip
        remedy = "nothing, unless the code follows it" if moves else f"move {table.name}, too, or ask the owner"
        found.decisions.append(
            Decision(module.place(node), Kind.REFERENCE, f"{what}: {does}", remedy, open=not moves)
        )  # fmt: skip
    else:
        found.decisions.append(
            Decision(parent.place, Kind.REFERENCE, f"{what}, and its field is not found",
                     "write it with db_constraint=False, or take it out")
        )  # fmt: skip


def _declared_by(module: Module, node: ast.ClassDef) -> str:
    """The dotted name of the class that a model derives from: the first one that is imported."""
    imported = {
        alias.asname or alias.name: f"{each.module}.{alias.name}"
        for each in module.tree.body if isinstance(each, ast.ImportFrom) and each.module and not each.level
        for alias in each.names
    }  # fmt: skip
    return next((imported[dotted(base)] for base in node.bases if dotted(base) in imported), "")


def _through(
    found: Crossings, code: Code, tables: Mapping[str, Table], moving: Collection[str], *, numbers: bool
) -> None:
    """Many-to-many relations with a model of their own between: Django does not make their tables."""
    at = {(each.module, each.model.rpartition(".")[2]): each for each in tables.values() if not each.joins}
    labels = {each.model.lower(): each for each in tables.values() if not each.joins}
    for (name, cls), table in at.items():
        module = code.find(name)
        if table.name not in moving or module is None or cls not in module.classes:
            continue
        for assigned, call in fields_of(module.classes[cls]):
            through = _argument(call, "through")
            if not dotted(call.func).endswith(MANY) or through is None:
                continue
            to = _model(code, module, table, _argument(call, "to", 0), at=at, labels=labels)
            between = _model(code, module, table, through, at=at, labels=labels)
            if to is None or (to.name in moving and (between is None or between.name in moving)):
                continue
            way = Way.KEY if between is not None and between.name in moving and not numbers else Way.CUT
            found.fields.append(Crossing(name, cls, assigned, to, way, (table.model,), many=True, line=call.lineno))
            found.decisions.append(
                Decision(
                    module.place(call), Kind.REFERENCE,
                    f"{table.model}.{assigned} joins with {to.name} through "
                    f"{between.model if between else 'a model of its own'}: "
                    + ("it leads to a model without rows" if way is Way.KEY else "the field was taken out"),
                    "ask the owner for the rows" if way is Way.KEY
                    else "ask the model between, or move it, too",
                    open=way is Way.CUT,
                )
            )  # fmt: skip


def fields_of(cls: ast.ClassDef) -> Iterator[tuple[str, ast.Call]]:
    """The names in a class that are bound to calls."""
    for node in cls.body:
        value = getattr(node, "value", None)
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if isinstance(value, ast.Call) and isinstance(node, (ast.Assign, ast.AnnAssign)):
            for target in targets:
                if isinstance(target, ast.Name):
                    yield target.id, value


def _model(
    code: Code,
    module: Module,
    table: Table,
    node: ast.AST | None,
    *,
    at: Mapping[tuple[str, str], Table],
    labels: Mapping[str, Table],
) -> Table | None:
    if (text := text_of(node)) is not None:
        full = table.model if text == "self" else text if "." in text else f"{table.app}.{text}"
        return labels.get(full.lower())
    name = dotted(node) if node is not None else ""
    for one in code.imports(module):
        if one.bound == name:
            target = code.resolve(one.target)
            return at.get((target.module, target.name))
    return at.get((module.name, name))


def _declaring(code: Code, table: Table, name: str, depth: int = 0) -> tuple[str, str, int] | None:
    """Module, class and line of a model's field, which one of its bases may have."""
    return _declared_in(code, Target(table.module, table.model.rpartition(".")[2]), name, depth)


def _declared_in(code: Code, place: Target, name: str, depth: int) -> tuple[str, str, int] | None:
    module = code.find(place.module)
    cls = module.classes.get(place.name) if module else None
    if module is None or cls is None or depth > 20:
        return None
    for assigned, call in fields_of(cls):
        if assigned == name:
            return module.name, place.name, call.lineno
    imported = {one.bound: one.target for one in code.imports(module)}
    for base in cls.bases:
        text = dotted(base)
        target = imported.get(text) or Target(module.name, text)
        if (found := _declared_in(code, code.resolve(target), name, depth + 1)) is not None:
            return found
    return None


def _split(declared: str) -> tuple[str, str]:
    module, _, name = declared.rpartition(".")
    return module, name


def _call(code: Code, module: str, owner: str, name: str) -> ast.Call | None:
    source = code.find(module)
    cls = source.classes.get(owner) if source else None
    return next((call for assigned, call in fields_of(cls) if assigned == name), None) if cls else None


def _line(code: Code, module: str, owner: str, name: str) -> int | None:
    call = _call(code, module, owner, name)
    return call.lineno if call else None


def _argument(call: ast.Call, name: str, place: int | None = None) -> ast.AST | None:
    given = next((each.value for each in call.keywords if each.arg == name), None)
    if given is None and place is not None and len(call.args) > place:
        return call.args[place]
    return given


def _keyword(call: ast.Call | None, name: str) -> str | None:
    return text_of(_argument(call, name)) if call is not None else None


def key_of(described: Described, table: Table) -> Key | None:
    """The primary key of a table, as far as something points at it."""
    found = [
        one.key for one in described.references if one.to == table.name and one.key is not None and one.key.primary
    ]
    return found[0] if found else None


def stand_in_files(found: Crossings, code: Code, *, accounts: str = "") -> Mapping[str, str]:
    """The app of the models that stand in, by path; ``accounts`` is the table whose rows a request's user may be."""
    if not found.stand_ins:
        return {}
    has_accounts = accounts in found.stand_ins
    parts = [_MODELS.replace("from django.db import models\n", _WITH_ACCOUNTS) if has_accounts else _MODELS]
    for name, (table, key) in sorted(found.stand_ins.items()):
        parts.append(_stand_in(found.stand_in(name), table, key, _values(code, table), is_account=name == accounts))
    parts = [part.rstrip("\n") + "\n" for part in parts]
    return {
        f"{STAND_INS}/__init__.py": f'{_ABOUT}\n',
        f"{STAND_INS}/apps.py": _APPS,
        f"{STAND_INS}/models.py": "\n\n".join(parts),
        **({f"{STAND_INS}/fields.py": _FIELDS} if any(one.inherited or one.many for one in found.fields) else {}),
    }  # fmt: skip


def _values(code: Code, table: Table) -> Sequence[str]:
    """What the model's class says besides its rows: choices and other constants, as far as they need nothing else."""
    module = code.find(table.module)
    cls = module.classes.get(table.model.rpartition(".")[2]) if module else None
    found: list[str] = []
    known = {*dir(builtins), "models"}
    for node in cls.body if cls is not None and module is not None else ():
        is_class = isinstance(node, ast.ClassDef) and node.name != "Meta"
        is_value = isinstance(node, ast.Assign) and not any(isinstance(each, ast.Call) for each in ast.walk(node))
        if (is_class or is_value) and module is not None:
            bound = {
                each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
            }
            used = {each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load)}
            arguments = {each.arg for each in ast.walk(node) if isinstance(each, ast.arg)}
            if used - bound - arguments <= known:
                found.append(f"    {ast.get_source_segment(module.text, node) or ast.unparse(node)}")
                known |= {node.name} if isinstance(node, ast.ClassDef) else bound
    return found


def _stand_in(cls: str, table: Table, key: Key | None, values: Sequence[str], *, is_account: bool) -> str:
    fields = []
    key = key or Key("id", "BigAutoField")
    arguments = []
    if key.max_length and key.kind in LONG:
        arguments.append(f"max_length={key.max_length}")
    if key.digits[0]:
        arguments += [f"max_digits={key.digits[0]}", f"decimal_places={key.digits[1]}"]
    if not key.primary:
        fields.append("    id = models.BigAutoField(primary_key=True)")
    arguments.append("primary_key=True" if key.primary else "unique=True")
    fields.append(f"    {key.name} = models.{key.kind}({', '.join(arguments)})")
    lines = "\n".join([*values, *([""] if values else []), *fields])
    base = "models.Model, metaclass=AccountBase" if is_account else "models.Model"
    return f'''class {cls}({base}):
    """Stands in for {table.model}: a key, and no rows."""

{lines}

    objects = ElsewhereQuerySet.as_manager()

    class Meta:
        managed = False
        db_table = "{table.name}"
        base_manager_name = "objects"
'''


_WITH_ACCOUNTS = "from chassis.identity.standing import AccountBase\nfrom django.db import models\n"
_ABOUT = '"""Models that stand in for rows which this service does not own: what points at them keeps its column."""'
_FIELDS = '''"""Relations to what stands in, which have the constraints that they can have."""

from __future__ import annotations

import copy
from typing import Any

from django.db import models


class LooseManyToManyField(models.ManyToManyField):
    """Django leaves out both constraints of its table, or none: here only the one to what stands in is missing."""

    def contribute_to_class(self, cls: type[models.Model], name: str, **kwargs: Any) -> None:
        super().contribute_to_class(cls, name, **kwargs)
        through: Any = self.remote_field.through
        for field in () if through is None or isinstance(through, str) else through._meta.local_fields:
            if field.remote_field is not None and field.remote_field.model is cls:
                field.db_constraint = True


def loosened(declaring: type[models.Model], name: str, *, to: str) -> Any:
    """The field of the abstract model with all that it says, but to a model that stands in, and without a
    constraint."""
    field: Any = copy.deepcopy(declaring._meta.get_field(name))
    field.remote_field.model = to
    if field.many_to_many:
        field.__class__ = LooseManyToManyField
        field.remote_field.db_constraint = False
    else:
        field.db_constraint = False
    return field
'''
_APPS = f'''{_ABOUT}

from __future__ import annotations

from django.apps import AppConfig


class StandInsConfig(AppConfig):
    name = "{STAND_INS}"
    default_auto_field = "django.db.models.BigAutoField"
'''
_MODELS = f'''{_ABOUT}

from __future__ import annotations

from typing import Any, NoReturn

from django.db import models


class ElsewhereError(Exception):
    """Rows of another owner were asked of this service's database."""


class ElsewhereQuerySet(models.QuerySet):
    """Can be made and narrowed, so that classes may name it. Whatever would ask the database raises ElsewhereError."""

    def _fetch_all(self) -> None:
        self._refuse()

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise ElsewhereError(f"the rows of {{self.model._meta.db_table}} are not in this service: ask their owner")

    aggregate = contains = count = create = delete = exists = explain = iterator = update = _refuse
    bulk_create = bulk_update = get_or_create = update_or_create = in_bulk = _raw_delete = _update = _refuse
    aiterator = _refuse

'''
