"""A project's Python files, read without running them: what each imports, binds and uses at its top level."""

from __future__ import annotations

import ast
import io
import re
import tokenize
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from strangler.domain.errors import ConfigurationError
from strangler.init.described import Described

REMEDY = "mend the file, or take it out of the project; then extract again"
_IGNORED = {"__pycache__", "node_modules", "site-packages", "dist-packages", ".git", ".tox", ".venv", "venv", "env"}
_COOKIE = re.compile(r"(coding[:=]\s*)([-\w.]+)")


@dataclass(frozen=True, slots=True)
class Target:
    """What an import binds: a module of the project, or a name in one (``*``: all that it has)."""

    module: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.module}.{self.name}" if self.name else self.module


@dataclass(frozen=True, slots=True)
class Import:
    """One alias of an import statement. ``bound`` is the name that it makes, ``whole`` what `import a.b` names, where
    only `a` is bound."""

    line: int
    bound: str
    target: Target
    typing: bool  # only type checkers run it
    nested: bool  # within a function
    caught: bool  # in a `try`, so that it may fail
    whole: bool = False


@dataclass(slots=True, eq=False)
class Statement:
    """A statement of a module's top level: the names that it binds, and those that it uses anywhere in it."""

    node: ast.stmt
    binds: frozenset[str]
    uses: frozenset[str]

    @property
    def first(self) -> int:
        """Its first line, decorators among it."""
        decorators: list[ast.expr] = getattr(self.node, "decorator_list", [])
        return min([self.node.lineno, *(each.lineno for each in decorators)])

    @property
    def is_import(self) -> bool:
        """Whether it only imports."""
        return isinstance(self.node, (ast.Import, ast.ImportFrom))


@dataclass(eq=False)
class Module:
    """A file. ``name`` is what it is imported by, ``path`` the same as a path, and ``shown`` what people know it by."""

    name: str
    file: Path
    path: PurePosixPath
    shown: str
    text: str
    is_package: bool

    @cached_property
    def tree(self) -> ast.Module:
        """Raises ConfigurationError: it is no Python."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # such as escapes that Python warns of
                return ast.parse(self.text)
        except (SyntaxError, ValueError, RecursionError) as error:
            line = getattr(error, "lineno", None) or 1
            said = getattr(error, "msg", None) or str(error)
            raise ConfigurationError(
                f"cannot be read as Python: {said}", place=f"{self.shown}:{line}", remedy=REMEDY
            ) from error

    @cached_property
    def statements(self) -> Sequence[Statement]:
        """Those of its top level."""
        return [Statement(node, frozenset(_bound(node)), frozenset(_used(node))) for node in self.tree.body]

    @cached_property
    def binders(self) -> Mapping[str, Sequence[Statement]]:
        """By name the statements that bind it, imports among them."""
        found: dict[str, list[Statement]] = {}
        for statement in self.statements:
            for name in statement.binds:
                found.setdefault(name, []).append(statement)
        return found

    @cached_property
    def asked_at_once(self) -> frozenset[str]:
        """The names that importing it asks for: bases, decorators, defaults, and values outside of functions."""
        return frozenset(name for each in self.statements if not each.is_import for name in used_at_once(each.node))

    @cached_property
    def classes(self) -> Mapping[str, ast.ClassDef]:
        """The classes of its top level, also those in its `if` and `try`."""
        return {node.name: node for node in _flat(self.tree.body) if isinstance(node, ast.ClassDef)}

    @property
    def lines(self) -> int:
        """How many it has."""
        return len(self.text.splitlines())

    def place(self, node: ast.AST | int) -> str:
        """A line of it, as it is told."""
        return f"{self.shown}:{node if isinstance(node, int) else getattr(node, 'lineno', 1)}"


class Code:
    """The project's modules by name.

    Raises:
        ConfigurationError: a file that is asked for cannot be decoded or parsed; with file and line.
    """

    def __init__(self, root: Path, described: Described) -> None:
        self.root = root.resolve()
        self.bases = [self.root]
        self._known: dict[str, Module | None] = {}
        self._imports: dict[str, Sequence[Import]] = {}
        for app in described.apps.values():
            base = self._base(app.path, app.module)
            if app.own and base is not None and base not in self.bases:
                self.bases.append(base)

    def find(self, name: str) -> Module | None:
        """The project's module of this name, or None."""
        if name not in self._known:
            self._known[name] = self._find(name)
        return self._known[name]

    def below(self, package: str) -> Iterator[Module]:
        """The module, and all modules in its folder, in the order of their names."""
        top = self.find(package)
        if top is None:
            return
        yield top
        if not top.is_package:
            return
        for file in sorted(walk(top.file.parent, ".py")):
            parts = file.relative_to(top.file.parent).with_suffix("").parts
            inner = parts[:-1] if parts[-1] == "__init__" else parts
            found = self.find(".".join([package, *inner])) if inner else None
            if found is not None and found.file == file:
                yield found

    def files(self) -> Iterator[Path]:
        """All Python files of the project."""
        yield from sorted(walk(self.root, ".py"))

    def imports(self, module: Module) -> Sequence[Import]:
        """What it imports of the project."""
        if module.name not in self._imports:
            self._imports[module.name] = list(self._read_imports(module))
        return self._imports[module.name]

    def resolve(self, target: Target, depth: int = 0) -> Target:
        """Where a name is written: re-exports are followed."""
        module = self.find(target.module)
        if module is None or not target.name or target.name == "*" or depth > 20:
            return target
        if (inner := self.find(f"{target.module}.{target.name}")) is not None and target.name not in module.binders:
            return Target(inner.name)
        for statement in module.binders.get(target.name, ()):
            if not statement.is_import:
                return target
        for one in self.imports(module):
            if one.bound == target.name and not one.nested and not one.whole:
                return self.resolve(one.target, depth + 1)
        if target.name not in module.binders:
            for one in self.imports(module):
                if one.target.name == "*":
                    found = self.resolve(Target(one.target.module, target.name), depth + 1)
                    there = self.find(found.module)
                    if there is not None and (not found.name or found.name in there.binders):
                        return found
        return target

    def exports(self, name: str, depth: int = 0) -> frozenset[str]:
        """The names that `from name import *` makes."""
        module = self.find(name)
        if module is None or depth > 20:
            return frozenset()
        listed = _all_of(module)
        if listed is not None:
            return listed
        found = {each for each in module.binders if not each.startswith("_") and each != "*"}
        for one in self.imports(module):
            if one.target.name == "*" and not one.nested:
                found |= self.exports(one.target.module, depth + 1)
        return frozenset(found)

    def read(self, file: Path) -> str:
        """A file's text, with its line ends. Raises ConfigurationError."""
        shown = self.shown(file)
        try:
            content = file.read_bytes()
            encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
            text = content.decode(encoding)
        except UnicodeDecodeError as error:
            line = error.object[: error.start].count(b"\n") + 1
            raise ConfigurationError(
                f"cannot be decoded as {error.encoding}: {error.reason}", place=f"{shown}:{line}", remedy=REMEDY
            ) from error
        except (SyntaxError, LookupError) as error:
            line = 1
            try:
                content.decode()
            except UnicodeDecodeError as found:
                line = content.count(b"\n", 0, found.start) + 1
            raise ConfigurationError(f"cannot be decoded: {error}", place=f"{shown}:{line}", remedy=REMEDY) from error
        except OSError as error:
            raise ConfigurationError(
                f"cannot be read: {error.strerror}", place=shown, remedy="give the right to read it"
            ) from error
        if encoding not in ("utf-8", "utf-8-sig"):
            # It is written as UTF-8, so that it must say so.
            head, newline, rest = text.partition("\n")
            second, newline_2, rest_2 = rest.partition("\n")
            text = _COOKIE.sub(r"\1utf-8", head) + newline + _COOKIE.sub(r"\1utf-8", second) + newline_2 + rest_2
        return text

    def shown(self, file: Path) -> str:
        """As people know the file: from the folder of manage.py."""
        return str(file.relative_to(self.root)) if file.is_relative_to(self.root) else str(file)

    def _find(self, name: str) -> Module | None:
        parts = name.split(".")
        if not all(part.isidentifier() for part in parts):
            return None
        for base in self.bases:
            for file, is_package in ((base.joinpath(*parts, "__init__.py"), True), (base.joinpath(*parts), False)):
                path = file if is_package else file.with_name(f"{parts[-1]}.py")
                if path.is_file():
                    inner = PurePosixPath(path.relative_to(base))
                    return Module(name, path, inner, self.shown(path), self.read(path), is_package)
        return None

    def _base(self, path: str, module: str) -> Path | None:
        folder = (self.root / path).resolve()
        parts = module.split(".")
        if not path or tuple(folder.parts[-len(parts) :]) != tuple(parts):
            return None
        return folder.parents[len(parts) - 1]

    def _read_imports(self, module: Module) -> Iterator[Import]:
        package = module.name if module.is_package else module.name.rpartition(".")[0]
        for node, typing, nested, caught in _imports(module.tree.body):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    if self.find(alias.name) is None and self.find(alias.name.split(".")[0]) is None:
                        continue
                    whole = alias.asname is None and "." in alias.name
                    bound = alias.asname or alias.name.split(".")[0]
                    yield Import(node.lineno, bound, Target(alias.name), typing, nested, caught, whole)
                continue
            base = _absolute(node, package)
            if base is None or (self.find(base) is None and not self.is_folder(base)):
                continue
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                owner = self.find(base)
                bound_there = owner is not None and alias.name in owner.binders
                is_module = alias.name != "*" and not bound_there and self.find(inner) is not None
                target = Target(inner) if is_module else Target(base, alias.name)
                yield Import(node.lineno, alias.asname or alias.name, target, typing, nested, caught)

    def is_folder(self, name: str) -> bool:
        """Whether it is a folder of the project without an `__init__.py`."""
        return any(base.joinpath(*name.split(".")).is_dir() for base in self.bases)


def walk(folder: Path, suffix: str = "") -> Iterator[Path]:
    """The files in a folder, through links, but for environments, what programs have cached, and extracted services."""
    for entry in sorted(folder.iterdir()):
        if entry.is_dir():
            left = any((entry / name).exists() for name in ("pyvenv.cfg", ".extract.json"))
            if entry.name not in _IGNORED and not left:
                yield from walk(entry, suffix)
        elif entry.name.endswith(suffix) and entry.is_file():
            yield entry


def names_in(node: ast.AST) -> Iterator[ast.Name]:
    """The names that are used in it, those in the text of annotations among them."""
    for each in ast.walk(node):
        if isinstance(each, ast.Name):
            yield each


def used_to_run(node: ast.AST) -> Iterator[str]:
    """The names that are used outside of annotations."""
    waiting = [node]
    while waiting:
        each = waiting.pop()
        if isinstance(each, ast.Name):
            yield each.id
        for name, value in ast.iter_fields(each):
            if name not in ("annotation", "returns"):
                waiting += [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, ast.AST)]


def used_at_once(node: ast.AST) -> Iterator[str]:
    """The names that are used when the module is imported: not those in functions, nor in annotations."""
    waiting = [node]
    while waiting:
        each = waiting.pop()
        if isinstance(each, ast.Name) and not isinstance(each.ctx, ast.Store):
            yield each.id
        left = {"annotation", "returns"}
        if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            left.add("body")
        for name, value in ast.iter_fields(each):
            if name not in left:
                waiting += [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, ast.AST)]


def dotted(node: ast.AST) -> str:
    """`a.b.c` of names and attributes; empty for anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    return ".".join([node.id, *reversed(parts)])


def text_of(node: ast.AST | None) -> str | None:
    """The text that a node writes, if it is one."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _absolute(node: ast.ImportFrom, package: str) -> str | None:
    if not node.level:
        return node.module
    parts = package.split(".")
    if node.level > len(parts):
        return None
    base = parts[: len(parts) - node.level + 1]
    return ".".join([*base, *(node.module.split(".") if node.module else [])])


def _imports(body: Sequence[ast.stmt]) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool, bool, bool]]:
    waiting = [(node, False, False, False) for node in body]
    while waiting:
        node, typing, nested, caught = waiting.pop(0)
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node, typing, nested, caught
            continue
        deeper = nested or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        tried = caught or isinstance(node, ast.Try)
        only = typing or (isinstance(node, ast.If) and dotted(node.test).split(".")[-1] == "TYPE_CHECKING")
        for name, value in ast.iter_fields(node):
            within = [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, ast.AST)]
            hinted = only if name != "orelse" else typing
            waiting += [
                (each, hinted, deeper, tried)  # type: ignore[misc]
                for each in within
                if isinstance(each, (ast.stmt, ast.ExceptHandler, ast.match_case))
            ]


def _flat(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        yield node
        if isinstance(node, (ast.If, ast.Try, ast.With)):
            inner = [*node.body, *getattr(node, "orelse", []), *getattr(node, "finalbody", [])]
            inner += [each for handler in getattr(node, "handlers", []) for each in handler.body]
            yield from _flat(inner)


def _bound(node: ast.stmt) -> Iterator[str]:
    for each in _flat([node]):
        if isinstance(each, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield each.name
        elif isinstance(each, (ast.Import, ast.ImportFrom)):
            for alias in each.names:
                yield alias.asname or (alias.name.split(".")[0] if isinstance(each, ast.Import) else alias.name)
        elif isinstance(each, (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.For)):
            targets = each.targets if isinstance(each, ast.Assign) else [each.target]
            for target in targets:
                for name in ast.walk(target):
                    if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store):
                        yield name.id


def _used(node: ast.stmt) -> Iterator[str]:
    for each in ast.walk(node):
        if isinstance(each, ast.Name) and not isinstance(each.ctx, ast.Store):
            yield each.id
        elif isinstance(each, (ast.AnnAssign, ast.arg)):
            yield from _quoted(each.annotation)
        elif isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from _quoted(each.returns)


def _quoted(annotation: ast.AST | None) -> Iterator[str]:
    """The names in an annotation that is written as text."""
    for each in ast.walk(annotation) if annotation is not None else ():
        if (text := text_of(each)) is not None:
            yield from re.findall(r"[^\W\d]\w*", text)


def _all_of(module: Module) -> frozenset[str] | None:
    for statement in module.binders.get("__all__", ()):
        value = getattr(statement.node, "value", None)
        if isinstance(value, (ast.List, ast.Tuple)):
            return frozenset(text for each in value.elts if (text := text_of(each)) is not None)
    return None
