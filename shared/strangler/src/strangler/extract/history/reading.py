"""The files of an app's migrations, in the order in which they run, and what their code says without being run."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from strangler.extract.code.modules import dotted, text_of


@dataclass(frozen=True)
class Migration:
    """A file with a migration. ``shown`` is its path below ``root``, the folder of manage.py. ``operations`` is None
    where they are no literal list."""

    label: str
    root: Path
    shown: str
    text: str
    tree: ast.Module
    body: ast.ClassDef
    operations: Sequence[ast.expr] | None

    @property
    def name(self) -> str:
        """As other migrations refer to it."""
        return Path(self.shown).stem

    def place(self, node: ast.AST) -> str:
        """`file:line`."""
        return f"{self.shown}:{getattr(node, 'lineno', 1)}"

    @cached_property
    def bindings(self) -> Mapping[str, ast.stmt]:
        """The statements of the module by each name that they bind."""
        found: dict[str, ast.stmt] = {}
        for node in self.tree.body:
            for name in bound(node):
                found[name] = node
        return found

    def attribute(self, name: str) -> ast.expr | None:
        """What the class gives this name."""
        return next(
            (node.value for node in self.body.body if isinstance(node, ast.Assign) and _names(node, name)), None
        )

    def needs(self) -> set[tuple[str, str]]:
        """The migrations that must have run before, by app and name."""
        return {*pairs(self.attribute("dependencies"))}

    def value(self, node: ast.AST | None, depth: int = 0) -> str | None:
        """The text that an expression is, or the texts of a list one after the other; None where only running the code
        would tell."""
        if node is None or depth > _DEEPEST:
            return None
        match node:
            case ast.Constant():
                return text_of(node)
            case ast.Name():
                there = self.bindings.get(node.id)
                found = self.value(there.value, depth + 1) if isinstance(there, (ast.Assign, ast.AnnAssign)) else None
            case ast.Attribute():
                found = "" if dotted(node).endswith(".noop") else None
            case ast.JoinedStr():
                pieces = [one.value if isinstance(one, ast.FormattedValue) else one for one in node.values]
                found = self._joined(pieces, "", depth)
            case ast.BinOp(op=ast.Add()):
                found = self._joined([node.left, node.right], "", depth)
            case ast.List() | ast.Tuple():
                # Of a statement with its parameters only the statement tells anything.
                texts = [one.elts[0] if isinstance(one, ast.Tuple) and one.elts else one for one in node.elts]
                found = self._joined(texts, ";\n", depth)
            case ast.Call():
                found = self._called(node, depth)
            case _:
                found = None
        return found

    def _joined(self, nodes: Sequence[ast.AST], between: str, depth: int) -> str | None:
        texts = [self.value(one, depth + 1) for one in nodes]
        return None if None in texts else between.join(text for text in texts if text is not None)

    def _called(self, node: ast.Call, depth: int) -> str | None:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else dotted(node.func)
        if name in ("read_text", "read"):
            file = self.file(node)
            return file.read_text(encoding="utf-8") if file else None
        if name == "dedent" and len(node.args) == 1:
            return self.value(node.args[0], depth + 1)
        if name in ("strip", "lstrip", "rstrip") and not node.args and isinstance(node.func, ast.Attribute):
            return self.value(node.func.value, depth + 1)
        return None

    def file(self, node: ast.AST) -> Path | None:
        """The file of the project that an expression names by its texts, if there is one."""
        names = [text for one in self._within(node) if (text := text_of(one)) and "\n" not in text]
        here = (self.root / self.shown).parent
        for base in (here, here.parent, here.parent.parent, self.root):
            for first in range(len(names)):
                for last in range(len(names), first, -1):
                    file = base.joinpath(*names[first:last])
                    if file.is_file() and file.resolve().is_relative_to(self.root.resolve()):
                        return file
        return None

    def _within(self, node: ast.AST, depth: int = 0) -> Iterator[ast.AST]:
        """What an expression is made of, from left to right, with what its names stand for."""
        there = self.bindings.get(node.id) if isinstance(node, ast.Name) else None
        if isinstance(there, ast.Assign) and depth < _DEEPEST:
            yield from self._within(there.value, depth + 1)
        yield node
        for one in ast.iter_child_nodes(node):
            yield from self._within(one, depth)

    def reached(self, nodes: Sequence[ast.AST]) -> Sequence[ast.stmt]:
        """The statements of the module that these need, in their order, imports among them."""
        wanted: dict[int, ast.stmt] = {}
        left = list(nodes)
        while left:
            for one in ast.walk(left.pop()):
                there = self.bindings.get(one.id) if isinstance(one, ast.Name) else None
                if there is not None and there is not self.body and id(there) not in wanted:
                    wanted[id(there)] = there
                    left.append(there)
        return [node for node in self.tree.body if id(node) in wanted]


_DEEPEST = 10


def bound(node: ast.stmt) -> Iterator[str]:
    """The names that a statement of a module binds."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield node.name
    elif isinstance(node, (ast.Import, ast.ImportFrom)):
        yield from ((alias.asname or alias.name).partition(".")[0] for alias in node.names)
    else:
        yield from (one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store))


def kind(node: ast.AST) -> str:
    """What an operation is called, without its module; empty if it is no call."""
    return dotted(node.func).rpartition(".")[2] if isinstance(node, ast.Call) else ""


def argument(node: ast.AST, name: str, place: int) -> ast.expr | None:
    """What a call is given, by name or by place."""
    if not isinstance(node, ast.Call):
        return None
    named = next((one.value for one in node.keywords if one.arg == name), None)
    return named if named is not None or place >= len(node.args) else node.args[place]


def pairs(node: ast.AST | None) -> Iterator[tuple[str, str]]:
    """The pairs of texts in a list."""
    for one in getattr(node, "elts", ()):
        texts = [text_of(each) for each in one.elts] if isinstance(one, ast.Tuple) else []
        if len(texts) == 2 and texts[0] is not None and texts[1] is not None:
            yield texts[0], texts[1]


def _names(node: ast.Assign, name: str) -> bool:
    return any(isinstance(one, ast.Name) and one.id == name for one in node.targets)


def migrations(root: Path, folder: Path, label: str) -> Sequence[Migration]:
    """Those of a folder, as they run from nothing: a squashed one takes the place of those that it replaces."""
    found = {one.name: one for file in sorted(folder.glob("*.py")) if (one := read(root, file, label)) is not None}
    replaced = {name for one in found.values() for app, name in pairs(one.attribute("replaces")) if app == label}
    return _Order({name: one for name, one in found.items() if name not in replaced}, label).run()


def read(root: Path, file: Path, label: str) -> Migration | None:
    """The migration in a file, if it is one."""
    try:
        text = file.read_text(encoding="utf-8")
        tree = ast.parse(text)
    except (OSError, SyntaxError, ValueError):
        return None
    body = next((one for one in tree.body if isinstance(one, ast.ClassDef) and one.name == "Migration"), None)
    if body is None:
        return None
    lists = [one.value for one in body.body if isinstance(one, ast.Assign) and _names(one, "operations")]
    literal = lists[-1].elts if lists and isinstance(lists[-1], (ast.List, ast.Tuple)) else None
    if literal is not None and any(isinstance(one, ast.Starred) for one in literal):
        literal = None
    shown = file.relative_to(root).as_posix()
    return Migration(label, root, shown, text, tree, body, literal if lists else ())


@dataclass
class _Order:
    known: Mapping[str, Migration]
    label: str
    done: dict[str, Migration] = field(default_factory=dict)

    def run(self) -> Sequence[Migration]:
        for name in self.known:
            self._visit(name, ())
        return list(self.done.values())

    def _visit(self, name: str, above: tuple[str, ...]) -> None:
        if name in self.done or name in above:
            return
        for app, other in sorted(self.known[name].needs()):
            if app == self.label and other in self.known:
                self._visit(other, (*above, name))
        self.done[name] = self.known[name]
