"""Which operations come along: those that touch the capability's tables alone. All others are decisions."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from strangler.domain.project import Capability
from strangler.domain.words import counted
from strangler.extract.code.modules import dotted, text_of
from strangler.extract.draft import Decision, Kind, Source
from strangler.extract.history import statements
from strangler.extract.history.changes import DATABASE, STATE, Later
from strangler.extract.history.reading import Migration, argument, kind, migrations
from strangler.init.described import App, Described

RELATIONS = frozenset({"ForeignKey", "OneToOneField", "ManyToManyField", "GenericRelation", "ParentalKey"})
# What a state says that the tables are made from, and that SQL can have made instead.
TAKEN_OUT = frozenset({"CreateModel", "AddField", "AddIndex", "AddConstraint"})
CONCURRENT = frozenset(
    {"AddIndexConcurrently", "RemoveIndexConcurrently", "AddConstraintNotValid", "ValidateConstraint"}
)
OF_DJANGO = frozenset(
    {"CreateModel", "DeleteModel", "RenameModel", "AlterModelTable", "AlterModelTableComment", "AlterUniqueTogether"}
    | {"AlterIndexTogether", "AlterOrderWithRespectTo", "AlterModelOptions", "AlterModelManagers", "AddField"}
    | {"RemoveField", "AlterField", "RenameField", "AddIndex", "RemoveIndex", "RenameIndex", "AddConstraint"}
    | {"RemoveConstraint", "AlterConstraint", "RemoveCollation", "CreateCollation"}
)
_ROWS_COME = "nothing: a move copies the rows"
_WRITE = "write it into a migration of the service, for the tables that this one has"


@dataclass(frozen=True)
class Carried:
    """Operations of one migration that come along into the migrations of the app ``label``, by their place in its list.

    Those in ``rows`` write rows and nothing else; ``stated`` are operations on the state, whose tables the SQL beside
    them makes. ``files`` are read by them.
    """

    label: str
    migration: Migration
    kept: tuple[int, ...]
    rows: frozenset[int] = frozenset()
    stated: Mapping[int, tuple[ast.expr, ...]] = field(default_factory=dict)
    files: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Planned:
    """What comes along, in the order in which it ran; ``before`` is SQL that must have run before the tables are made,
    by the app that has it."""

    carried: tuple[Carried, ...] = ()
    before: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    decisions: tuple[Decision, ...] = ()


@dataclass
class _StaysError(Exception):
    """An operation does not come along; ``says`` is a decision, if it is not empty. ``sql`` may be needed by others."""

    says: str = ""
    remedy: str = ""
    open: bool = True
    sql: str = ""


@dataclass(slots=True)
class _Told:
    """What is to become of one operation."""

    says: str = ""
    remedy: str = ""
    open: bool = True
    carried: bool = False
    rows: bool = False
    before: bool = False
    label: str = ""
    stated: tuple[ast.expr, ...] = ()
    files: tuple[Path, ...] = ()
    sql: str = ""


def plan(described: Described, capability: Capability, source: Source, root: Path) -> Planned:
    """Looks at the migrations of all apps that the project's own folder has; nothing is run."""
    return _Planning(described, capability, source, root).run()


def folder_of(described: Described, root: Path, app: App) -> Path:
    """Where the migrations of an app are."""
    elsewhere = described.setting("MIGRATION_MODULES")
    named = elsewhere.value.get(app.label) if elsewhere and isinstance(elsewhere.value, dict) else None
    return root.joinpath(*(named or f"{app.module}.migrations").split("."))


class _Planning:
    def __init__(self, described: Described, capability: Capability, source: Source, root: Path) -> None:
        self.described, self.source, self.root = described, source, root
        self.labels = [app.label for app in source.apps if app.moved]
        self.moving = {table.removeprefix("public.").lower() for table in capability.tables}
        self.staying = {one.name.lower() for one in described.tables} | {one.lower() for one in described.unmodelled}
        self.staying -= self.moving
        self.apps = {
            app.label: migrations(root, folder_of(described, root, app), app.label)
            for app in described.apps.values()
            if app.own
        }
        self.later = {label: Later(found) for label, found in self.apps.items()}
        self.decisions: list[Decision] = []

    def run(self) -> Planned:
        self._learn()
        told = {
            (label, number, place): self._operation(migration, (number, place), operation)
            for label in sorted(self.apps, key=lambda one: (one not in self.labels, one))
            for number, migration in enumerate(self.apps[label])
            for place, operation in enumerate(self._listed(migration))
        }
        self._with_what_they_need(told)
        return self._planned(told)

    def _listed(self, migration: Migration) -> Sequence[ast.expr]:
        if migration.operations is not None:
            return migration.operations
        if migration.label in self.labels:
            for node in ast.walk(migration.body):
                if kind(node) in ("RunSQL", "RunPython", "SeparateDatabaseAndState"):
                    self._tell(migration, node, f"{kind(node)} stands in a list that is made at run time", _WRITE)
        return ()

    def _tell(self, migration: Migration, node: ast.AST, says: str, remedy: str, *, open: bool = True) -> None:
        self.decisions.append(Decision(migration.place(node), Kind.FILE, f"the migration: {says}", remedy, open))

    def _learn(self) -> None:
        """Tables and views that no model has: they belong to who makes them."""
        for label, found in self.apps.items():
            for sql in (text for one in found for text in _texts(one)):
                parts = dict(statements.parts(sql))
                for what, name in statements.made(sql):
                    if what not in statements.RELATIONS or name in self.staying | self.moving:
                        continue
                    is_view = what != "table" and not statements.words(sql) & self.staying
                    if parts.get(name) in self.moving or (is_view and label in self.labels):
                        self.moving.add(name)
                    else:
                        self.staying.add(name)

    def _operation(self, migration: Migration, at: tuple[int, int], operation: ast.expr) -> _Told:
        try:
            match kind(operation):
                case "RunSQL":
                    return self._sql(migration, at, [operation])
                case "RunPython":
                    return self._python(migration, at, operation)
                case "SeparateDatabaseAndState":
                    return self._separate(migration, at, operation)
                case name:
                    self._leave(name, is_ours=migration.label in self.labels)
        except _StaysError as one:
            return _Told(one.says, one.remedy, one.open, sql=one.sql)
        return _Told()

    @staticmethod
    def _leave(name: str, *, is_ours: bool) -> None:
        if not is_ours or name in OF_DJANGO or name.endswith("Extension") or not name:
            return
        if name in CONCURRENT:
            raise _StaysError("it makes without a lock what models say; a new table needs none", "nothing", open=False)
        raise _StaysError(f"{name} is no operation of Django's", "see that the service's migrations do it, too")

    def _sql(self, migration: Migration, at: tuple[int, int], runs: Sequence[ast.expr]) -> _Told:
        is_ours = migration.label in self.labels
        texts = [migration.value(given) for one in runs for place, name in enumerate(_SQL)
                 if (given := argument(one, name, place)) is not None]  # fmt: skip
        if None in texts:
            raise _StaysError("it runs SQL that is made at run time" if is_ours else "", _WRITE)
        sql = ";\n".join(text for text in texts if text)
        words = statements.words(sql)
        mine, others = sorted(words & self.moving), sorted(words & self.staying)
        if not mine and not is_ours:
            raise _StaysError(sql=sql)
        if others:
            others = sorted({*others} - {name for _, name in statements.made(sql)}) or others
            besides = f", besides {_some(mine)}" if mine else ""
            raise _StaysError(
                f"its SQL names {_some(others)}, which {'stays' if len(others) == 1 else 'stay'}{besides}", _WRITE
            )
        if lost := self._lost(migration, at, words):
            says = f"its SQL names {_some(lost)}, which a later migration takes away"
            raise _StaysError(says, _WRITE if mine else "nothing", open=bool(mine))
        if strange := self._strange(migration, migration.reached(runs)):
            raise _StaysError(f"it needs {_some(strange)}, which did not come along", _WRITE)
        files = tuple(file for one in runs for file in [migration.file(one)] if file)
        first = migration.value(argument(runs[0], "sql", 0)) or ""
        before = not mine and len(runs) == 1 and statements.only_before(first)
        label = self._home(migration, mine)
        return _Told(carried=True, rows=statements.only_rows(first), before=before, label=label, files=files, sql=sql)

    def _home(self, migration: Migration, tables: Sequence[str]) -> str:
        if migration.label in self.labels:
            return migration.label
        of = {one.name.lower(): one.app for one in self.described.tables}
        return next((of[one] for one in tables if of.get(one) in self.labels), self.labels[0] if self.labels else "")

    def _lost(self, migration: Migration, at: tuple[int, int], words: Set[str]) -> list[str]:
        gone = self.later[migration.label].gone(at)
        found: set[str] = set()
        for model, names in gone.items():
            table = self._table(migration.label, model)
            if "" in names and table in words:
                found.add(table)
            elif table in words:
                found |= names & words
        return sorted(found - self.moving)

    def _table(self, label: str, model: str) -> str:
        named = f"{label}.{model}".lower()
        known = (one.name for one in self.described.tables if one.model.lower() == named and not one.joins)
        return next(known, f"{label}_{model}").lower()

    def _python(self, migration: Migration, at: tuple[int, int], operation: ast.expr) -> _Told:
        is_ours = migration.label in self.labels
        reached = migration.reached([operation])
        models = self._models(migration, operation, reached, is_ours=is_ours)
        moves = {one: self._moves(*one) for one in models}
        if not is_ours and not any(moves.values()):
            raise _StaysError
        if strange := self._strange(migration, reached):
            says = f"it runs code that needs {_some(strange)}, which did not come along"
            raise _StaysError(says, _ROWS_COME, open=False)
        sql = self._run_by(reached)
        if stay := sorted(".".join(one) for one, it_moves in moves.items() if not it_moves):
            raise _StaysError(f"it runs code on rows of {_some(stay)}, which stays", _ROWS_COME, open=False)
        if not models and sql is None:
            raise _StaysError("it runs code on no row of the capability", "nothing", open=False)
        if lost := self._outdated(migration, at, models, reached):
            says = f"it runs code that needs {_some(lost)}, which later migrations take away or ask for"
            raise _StaysError(says, _ROWS_COME, open=False)
        home = self._home(migration, [self._table(*one) for one in sorted(models)])
        return _Told(carried=True, rows=sql is None or statements.only_rows(sql), label=home, sql=sql or "")

    def _models(
        self, migration: Migration, operation: ast.expr, reached: Sequence[ast.stmt], *, is_ours: bool
    ) -> set[tuple[str, str]]:
        given = argument(operation, "code", 0)
        if given is not None and dotted(given).endswith(".noop"):
            raise _StaysError
        code = migration.bindings.get(dotted(given)) if given is not None else None
        if not isinstance(code, ast.FunctionDef):
            says = "it runs code that is written elsewhere" if is_ours else ""
            raise _StaysError(says, "look whether it changes tables")
        models = _models(reached)
        if models is None:
            says = "it runs code on models that it names at run time" if is_ours else ""
            raise _StaysError(says, _ROWS_COME, open=False)
        return models

    def _run_by(self, reached: Sequence[ast.stmt]) -> str | None:
        """The SQL that code runs; None if it runs none."""
        if not any(
            kind(one) == "execute" or _attribute(one) == "execute" for node in reached for one in ast.walk(node)
        ):
            return None
        sql = ";\n".join(_sql_of(reached))
        if others := sorted(statements.words(sql) & self.staying):
            raise _StaysError(f"its code names {_some(others)} in SQL, which stays", _WRITE)
        if not sql:
            raise _StaysError("its code runs SQL that is made at run time", _WRITE)
        return sql

    def _moves(self, label: str, model: str) -> bool:
        return self._table(label, model) in self.moving

    def _outdated(
        self, migration: Migration, at: tuple[int, int], models: Set[tuple[str, str]], reached: Sequence[ast.stmt]
    ) -> list[str]:
        words = {word for node in reached for word in _words(node)}
        found: set[str] = set()
        for label, model in models:
            later = self.later.get(label)
            if later is None:
                continue
            since = at if label == migration.label else (-1, -1)
            names = later.gone(since).get(model.lower(), frozenset())
            found |= names & words | ({f"{label}.{model}"} if "" in names else set())
            if later.asks({model.lower()}, since):
                found.add(f"a new field of {label}.{model}")
        return sorted(found)

    def _strange(self, migration: Migration, reached: Sequence[ast.stmt]) -> list[str]:
        """Modules of the project that are imported, and are not in the service."""
        own = {app.module.partition(".")[0] for app in self.described.apps.values() if app.own}
        own |= {path.name for path in self.root.iterdir() if path.is_dir() and path.name != "chassis"}
        found = set()
        for node in reached:
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or "." if not node.level else "a module beside it"]
            else:
                continue
            found |= {one for one in names if self._is_away(one, own)}
        return sorted(found)

    def _is_away(self, module: str, own: Set[str]) -> bool:
        path = PurePosixPath(*module.split("."))
        there = {path.with_suffix(".py"), path / "__init__.py"} & self.source.files.keys()
        return module == "a module beside it" or (module.partition(".")[0] in own and not there)

    def _separate(self, migration: Migration, at: tuple[int, int], operation: ast.expr) -> _Told:
        if migration.label not in self.labels:
            raise _StaysError
        database, state = argument(operation, DATABASE, 0), argument(operation, STATE, 1)
        runs = list(getattr(database, "elts", ()))
        states = list(getattr(state, "elts", ()))
        if any(one is not None and not isinstance(one, (ast.List, ast.Tuple)) for one in (database, state)):
            raise _StaysError("what it does in the database is told at run time", _WRITE)
        if all(kind(one) in OF_DJANGO | CONCURRENT for one in runs):
            raise _StaysError("the tables are made as the models say it", "nothing", open=False)
        if not all(kind(one) == "RunSQL" for one in runs):
            raise _StaysError("it does in the database something else than the models say", _WRITE)
        told = self._sql(migration, at, runs)
        if other := next((kind(one) for one in states if kind(one) not in TAKEN_OUT), ""):
            raise _StaysError(f"its SQL does what {other} says to the models, which are made anew", _WRITE)
        if pointing := sorted(name for one in states for name in self._points_out(one)):
            raise _StaysError(f"its SQL makes what points at {_some(pointing)}, which stays", _WRITE)
        told.stated, told.before = tuple(states), False
        return told

    def _points_out(self, node: ast.AST) -> Iterator[str]:
        """What relations in it point at, that does not move."""
        for one in ast.walk(node):
            if kind(one) in RELATIONS:
                to = argument(one, "to", 0)
                label, _, model = (text_of(to) or "").partition(".")
                if not self._moves(label, model):
                    yield text_of(to) or dotted(to) if to is not None else "something"

    def _with_what_they_need(self, told: Mapping[tuple[str, int, int], _Told]) -> None:
        """What carried SQL names and the migrations of other apps make: functions, types, sequences."""
        while True:
            wanted = {word for one in told.values() if one.carried for word in statements.words(one.sql)}
            more = [
                one for (label, _, _), one in told.items()
                if label not in self.labels and not one.carried and one.sql
                and wanted & {name for what, name in statements.made(one.sql) if what in statements.BEFORE}
                and not statements.words(one.sql) & self.staying
            ]  # fmt: skip
            if not more:
                return
            for one in more:
                one.carried = one.before = True
                one.label = self.labels[0]

    def _planned(self, told: Mapping[tuple[str, int, int], _Told]) -> Planned:
        carried: list[Carried] = []
        before: dict[str, list[tuple[str, str]]] = {}
        for label in sorted(self.apps, key=lambda one: (one not in self.labels, one)):
            for number, migration in enumerate(self.apps[label]):
                mine = {at: told[label, number, at] for at in range(len(migration.operations or ()))}
                for at, one in mine.items():
                    node = (migration.operations or ())[at]
                    if one.says:
                        self._tell(migration, node, one.says, one.remedy, open=one.open)
                    elif one.before:
                        pair = (migration.value(argument(node, "sql", 0)) or "",
                                migration.value(argument(node, "reverse_sql", 1)) or "")  # fmt: skip
                        before.setdefault(one.label, []).append(pair)
                by_home: dict[str, list[int]] = {}
                for at, one in mine.items():
                    if one.carried and not one.before and one.label:
                        by_home.setdefault(one.label, []).append(at)
                for home, kept in by_home.items():
                    carried.append(self._carried(migration, home, kept, mine))
        return Planned(
            tuple(carried), {label: tuple(pairs) for label, pairs in before.items()}, tuple(self.decisions)
        )  # fmt: skip

    def _carried(self, migration: Migration, home: str, kept: Sequence[int], mine: Mapping[int, _Told]) -> Carried:
        first = (migration.operations or ())[kept[0]]
        says = f"{counted(len(kept), 'operation')} came along as written"
        self._tell(migration, first, says, "let `strangler preflight` compare the tables", open=False)
        return Carried(
            home, migration, tuple(kept),
            frozenset(at for at in kept if mine[at].rows),
            {at: mine[at].stated for at in kept if mine[at].stated},
            tuple(dict.fromkeys(file for at in kept for file in mine[at].files)),
        )  # fmt: skip


_SQL = ("sql", "reverse_sql")


def _attribute(node: ast.AST) -> str:
    return node.func.attr if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else ""


def _texts(migration: Migration) -> Iterator[str]:
    for node in ast.walk(migration.body):
        if kind(node) == "RunSQL" and (text := migration.value(argument(node, "sql", 0))):
            yield text


def _models(reached: Sequence[ast.stmt]) -> set[tuple[str, str]] | None:
    """The models that code asks for by name, in lower case; None where it makes the names itself."""
    found: set[tuple[str, str]] = set()
    for one in (each for node in reached for each in ast.walk(node)):
        if isinstance(one, ast.Call) and isinstance(one.func, ast.Attribute) and one.func.attr == "get_model":
            texts = [text_of(argument(one, name, place)) for place, name in enumerate(("app_label", "model_name"))]
            whole = ".".join(text for text in texts if text)
            label, dot, model = whole.partition(".")
            if not dot:
                return None
            found.add((label, model.lower()))
    return found


def _sql_of(reached: Sequence[ast.stmt]) -> Iterator[str]:
    for node in reached:
        for one in ast.walk(node):
            text = text_of(one)
            if text and len(text.split()) > 1 and text.split()[0].upper() in _BEGINNINGS:
                yield text


_BEGINNINGS = frozenset({"CREATE", "ALTER", "DROP", "COMMENT", "INSERT", "UPDATE", "DELETE", "SELECT", "WITH", "GRANT"})


def _words(node: ast.AST) -> Iterator[str]:
    """Names of fields, however the code spells them, in lower case."""
    for one in ast.walk(node):
        match one:
            case ast.Attribute():
                yield one.attr.lower()
            case ast.keyword(arg=str()):
                yield (one.arg or "").partition("__")[0].lower()
            case ast.Constant(value=str() as text):
                yield text.lstrip("-").partition("__")[0].lower()


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
