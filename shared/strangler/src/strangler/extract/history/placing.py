"""Writes what comes along into migrations of the service, behind those that Django has made of the models."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from strangler.extract.code.modules import text_of
from strangler.extract.draft import Decision, Kind
from strangler.extract.history.planning import Carried
from strangler.extract.history.reading import Migration, argument, bound, kind, migrations

MARK = "# Carried by `strangler extract` from "
UNLESS_MOVED = "from chassis.database.migrating import RowsUnlessMoved\n"
_ORDINARY = frozenset({"dependencies", "operations", "initial", "replaces", "run_before"})


class Placing:
    """Places them in the folder of a service, which has the migrations that Django has made. ``modules`` are the
    packages of the apps that move, by label; ``fresh`` are migrations that Django has made just now."""

    def __init__(self, folder: Path, modules: Mapping[str, str], fresh: Sequence[Path]) -> None:
        self.folder = folder
        self.modules = modules
        self.fresh = {file for file in fresh if file.is_file()}
        self.decisions: list[Decision] = []
        self.written: list[Path] = []
        made = [(label, name) for label in modules if (name := self._last(label))]
        self._needed = dict.fromkeys(made)

    def place(self, carried: Sequence[Carried]) -> None:
        """Writes those that are not there yet."""
        for one in carried:
            migrations_of = self._migrations(one.label)
            mark = f"{MARK}{one.migration.shown}."
            if any(mark in file.read_text(encoding="utf-8") for file in sorted(migrations_of.glob("*.py"))):
                continue
            kept = [at for at in one.kept if self._is_free(one, at)]
            if kept:
                self._write(one, kept, mark)

    def _migrations(self, label: str) -> Path:
        return self.folder.joinpath(*self.modules[label].split("."), "migrations")

    def _last(self, label: str) -> str:
        found = migrations(self.folder, self._migrations(label), label)
        named = {name for one in found for app, name in one.needs() if app == label}
        return next((one.name for one in reversed(found) if one.name not in named), "")

    def _is_free(self, one: Carried, at: int) -> bool:
        """Takes out of Django's migrations what the SQL makes; whether that could be done."""
        texts = {
            file: file.read_text(encoding="utf-8") for file in self.fresh if file.parent == self._migrations(one.label)
        }
        for stated in one.stated.get(at, ()):
            for file, text in texts.items():
                if (without := taken_out(text, stated, one.label)) is not None:
                    texts[file] = without
                    break
            else:
                self._tell(one, at)
                return False
        for file, text in texts.items():
            file.write_text(text, encoding="utf-8")
        return True

    def _tell(self, one: Carried, at: int) -> None:
        node = (one.migration.operations or ())[at]
        self.decisions.append(
            Decision(
                one.migration.place(node), Kind.FILE,
                "the migration: its SQL makes what the service's first migration makes, too",
                "let one of them make it: write the SQL in place of Django's operation", open=True,
            )
        )  # fmt: skip

    def _write(self, one: Carried, kept: Sequence[int], mark: str) -> None:
        folder = self._migrations(one.label)
        numbers = [int(match[0]) for file in folder.glob("*.py") if (match := re.match(r"\d+", file.stem))]
        tail = re.sub(r"^\d+_?", "", one.migration.name) or "carried"
        tail = tail if one.migration.label == one.label else f"{one.migration.label}_{tail}"
        name = f"{max(numbers, default=0) + 1:04d}_{tail}"
        needed = [*self._needed, *([(one.label, last)] if (last := self._last(one.label)) else [])]
        text = text_with(one, kept, list(dict.fromkeys(needed)), mark)
        file = folder / f"{name}.py"
        file.write_text(text, encoding="utf-8")
        self.written.append(file)
        self._needed[one.label, name] = None
        for source in one.files:
            path = PurePosixPath(source.relative_to(one.migration.root).as_posix())
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            if not (self.folder / path).exists():
                (self.folder / path).write_bytes(source.read_bytes())


def text_with(one: Carried, kept: Sequence[int], needed: Sequence[tuple[str, str]], mark: str) -> str:
    """A migration's module with some of its operations, and what these need of it."""
    migration = one.migration
    operations = migration.operations or ()
    others = [node for node in migration.body.body if not _is_ordinary(node)]
    nodes = [operations[at] for at in kept]
    reached = migration.reached([*nodes, *others, *migration.body.bases])
    used = {each.id for node in (*reached, *nodes, *others, *migration.body.bases) for each in ast.walk(node)
            if isinstance(each, ast.Name)}  # fmt: skip
    said = ast.get_docstring(migration.tree, clean=False)
    parts: list[str] = []
    imports: list[str] = []
    for node in reached:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            imports.append(_import(node, used))
        else:
            parts.append(_segment(migration, node))
    future = [each for each in imports if each.startswith("from __future__")]
    if any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in migration.tree.body):
        future = ["from __future__ import annotations\n"]
    if one.rows & set(kept):
        imports.insert(0, UNLESS_MOVED)
    needs = "".join(f'        ("{label}", "{name}"),\n' for label, name in needed)
    body = [f"class Migration({', '.join(ast.unparse(base) for base in migration.body.bases)}):\n"]
    body += [_segment(migration, node) + "\n" for node in others]
    body.append(f"    dependencies = [\n{needs}    ]\n")
    shown = "".join(_operation(migration, at, is_rows=at in one.rows) for at in kept)
    body.append(f"    operations = [\n{shown}    ]\n")
    head = [f"{mark}\n", f'"""{said}"""\n' if said and '"""' not in said and "\\" not in said else "", "".join(future)]
    lines = "".join(each for each in imports if each not in future)
    middle = "".join(f"{part.strip(chr(10))}\n\n\n" for part in parts)
    return "\n".join(each for each in (*head, lines) if each) + "\n\n" + middle + "".join(body)


def _is_ordinary(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and any(
        isinstance(each, ast.Name) and each.id in _ORDINARY for each in node.targets
    )


def _import(node: ast.Import | ast.ImportFrom, used: set[str]) -> str:
    names = [one for one in node.names if (one.asname or one.name).partition(".")[0] in used]
    return ast.unparse(
        ast.Import(names) if isinstance(node, ast.Import) else ast.ImportFrom(node.module, names, node.level)
    ) + "\n"  # fmt: skip


def _segment(migration: Migration, node: ast.stmt) -> str:
    """The lines of a statement, with its decorators and the comments above it."""
    lines = migration.text.splitlines(keepends=True)
    first = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", ()))]) - 1
    while first and lines[first - 1].lstrip().startswith("#"):
        first -= 1
    return "".join(lines[first : node.end_lineno]).rstrip("\n")


def _operation(migration: Migration, at: int, *, is_rows: bool) -> str:
    node = (migration.operations or ())[at]
    lines = migration.text.splitlines(keepends=True)
    above = node.lineno - 1
    before = (migration.operations or ())[at - 1].end_lineno if at else None
    while above and lines[above - 1].lstrip().startswith("#") and above != before:
        above -= 1
    remarks = "".join(f"        {line.strip()}\n" for line in lines[above : node.lineno - 1])
    text = ast.get_source_segment(migration.text, node) or ast.unparse(node)
    return f"{remarks}        RowsUnlessMoved([{text}]),\n" if is_rows else f"{remarks}        {text},\n"


def taken_out(text: str, stated: ast.expr, label: str) -> str | None:
    """A migration of Django's without what an operation on the state says; None where it is not in it, or where the
    rest needs it."""
    match kind(stated):
        case "CreateModel":
            return _without_model(text, _text(stated, "name", 0), label)
        case "AddField":
            return _without_field(text, _text(stated, "model_name", 0), _text(stated, "name", 1))
        case "AddIndex":
            return _without_named(text, _text(stated, "model_name", 0), argument(stated, "index", 1))
        case "AddConstraint":
            return _without_named(text, _text(stated, "model_name", 0), argument(stated, "constraint", 1))
    return None


def _text(node: ast.AST, name: str, place: int) -> str:
    return (text_of(argument(node, name, place)) or "").lower()


def _operations(text: str) -> Sequence[ast.expr]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Assign) and [*bound(node)] == ["operations"] and isinstance(node.value, ast.List):
            return node.value.elts
    return ()


def _without_model(text: str, model: str, label: str) -> str | None:
    found = _operations(text)
    mine = [one for one in found if model == (_text(one, "name", 0) if kind(one) == "CreateModel" else
                                              _text(one, "model_name", 0))]  # fmt: skip
    if not any(kind(one) == "CreateModel" for one in mine):
        return None
    named = f"{label}.{model}"
    rest = (each for one in found if one not in mine for each in ast.walk(one))
    if any((text_of(each) or "").lower() == named for each in rest):
        return None
    return _cut(text, found, mine)


def _without_field(text: str, model: str, name: str) -> str | None:
    for one in _operations(text):
        if kind(one) == "AddField" and (_text(one, "model_name", 0), _text(one, "name", 1)) == (model, name):
            return _cut(text, _operations(text), [one])
        if kind(one) == "CreateModel" and _text(one, "name", 0) == model:
            fields = getattr(argument(one, "fields", 1), "elts", [])
            mine = [each for each in fields if isinstance(each, ast.Tuple) and (text_of(each.elts[0]) or "") == name]
            texts = [(text_of(each) or "").lstrip("-") for each in ast.walk(ast.parse(text))]
            return _cut(text, fields, mine) if mine and texts.count(name) == 1 else None
    return None


def _without_named(text: str, model: str, of: ast.expr | None) -> str | None:
    """Without the index or constraint of this name."""
    name = next((text_of(each.value) for each in getattr(of, "keywords", ()) if each.arg == "name"), None)
    if name is None:
        return None
    found = _operations(text)
    for one in found:
        if kind(one) in ("AddIndex", "AddConstraint") and _text(one, "model_name", 0) == model and _has(one, name):
            return _cut(text, found, [one])
        if kind(one) == "CreateModel" and _text(one, "name", 0) == model:
            for each in _options(one):
                mine = [inner for inner in each if _has(inner, name)]
                if mine:
                    return _cut(text, each, mine)
    return None


def _has(node: ast.AST, name: str) -> bool:
    return any(
        isinstance(one, ast.keyword) and one.arg == "name" and text_of(one.value) == name for one in ast.walk(node)
    )


def _options(node: ast.expr) -> Iterator[Sequence[ast.expr]]:
    options = argument(node, "options", 2)
    for key, value in zip(getattr(options, "keys", ()), getattr(options, "values", ()), strict=True):
        if text_of(key) in ("indexes", "constraints"):
            yield getattr(value, "elts", ())


def _cut(text: str, among: Sequence[ast.expr], gone: Sequence[ast.expr]) -> str:
    """The text without some of the elements of a list."""
    data = text.encode()
    starts = [0]
    for line in data.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))

    def start(node: ast.expr) -> int:
        return starts[node.lineno - 1] + node.col_offset

    def end(node: ast.expr) -> int:
        return starts[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)

    for number in sorted((among.index(one) for one in gone), reverse=True):
        first, last = start(among[number]), end(among[number])
        if number + 1 < len(among) and among[number + 1] not in gone:
            last = start(among[number + 1])
        else:
            match = re.match(rb"\s*,[ \t]*\n?", data[last:])
            last += match.end() if match else 0
            blank = re.search(rb"[ \t]*$", data[:first])
            first -= len(blank[0]) if blank and match and match[0].endswith(b"\n") else 0
        data = data[:first] + data[last:]
    return data.decode()
