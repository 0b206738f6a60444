"""What each project of a tree promises, and what its code uses of what others promise.

Promises are its ``openapi.yaml`` and the schemas in its ``contracts/``. Uses are read from its sources, without running
them: handlers (``@handles("a.type", capability=…)``), types that are sent (a text that is an argument of a call), and
paths that are called (``client.get("/internal/…")``). A use whose text is only known at run time is `unread`: it is
told, and nobody claims to have looked at it. Tests and migrations are no uses.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, SchemaError

from tests.pipeline.operations import METHODS, template
from tests.pipeline.schemas import UnreadableError

MONOLITH = "monolith"
ANYTHING = "{}"


@dataclass(frozen=True)
class Call:
    """A request of a path, with ``{}`` for what is only known at run time."""

    method: str
    path: str
    place: str
    module: str


@dataclass
class Project:
    """A Django project: the monolith or a service; places are ``file:line`` from the tree's root."""

    name: str
    folder: str
    messages: dict[str, dict[str, Any]] = field(default_factory=dict)
    openapi: dict[str, Any] = field(default_factory=dict)
    handled: dict[str, tuple[str, str]] = field(default_factory=dict)  # type → place, capability
    texts: list[tuple[str, str]] = field(default_factory=list)  # arguments of calls, as patterns, and their places
    registered: list[tuple[ast.expr | None, str, str]] = field(default_factory=list)  # what is handled, as written
    names: list[tuple[str, str]] = field(default_factory=list)  # the same, where they are names of constants
    constants: dict[str, set[str]] = field(default_factory=dict)  # name → texts
    calls: list[Call] = field(default_factory=list)
    keys: dict[str, dict[str, str]] = field(default_factory=dict)  # module → text → place
    unread: list[str] = field(default_factory=list)

    def sends(self, type: str) -> str | None:
        """The place at which messages of the type are sent, if they are."""
        texts = (place for text, place in self.texts if re.fullmatch(text, type))
        names = (place for name, place in self.names if type in self.constants.get(name, ()))
        return next(texts, None) or next(names, None)

    def reads(self, name: str, module: str | None = None) -> str | None:
        """A place at which the text is, which may be the name of a field; in one module, or in all."""
        modules = self.keys.values() if module is None else [self.keys.get(module, {})]
        return next((keys[name] for keys in modules if name in keys), None)


@dataclass(frozen=True)
class Tree:
    """The projects below a folder."""

    root: Path

    @cached_property
    def projects(self) -> dict[str, Project]:
        folders = [self.root / MONOLITH, *sorted((self.root / "services").glob("*/"))]
        return {folder.name: _project(self.root, folder) for folder in folders if (folder / "manage.py").is_file()}


def _project(root: Path, folder: Path) -> Project:
    made = Project(folder.name, folder.relative_to(root).as_posix())
    for path in sorted((folder / "contracts").glob("*.json")):
        made.messages[path.name.removesuffix(".json")] = _schema(path, root)
    described = folder / "openapi.yaml"
    if described.is_file():
        made.openapi = _document(described, root)
    for path in sorted(folder.rglob("*.py")):
        inside = path.relative_to(folder).parts
        if path.is_symlink() or {"tests", "migrations"} & set(inside) or inside[-1] == "conftest.py":
            continue
        try:
            _Reader(made, path.relative_to(root).as_posix()).visit(ast.parse(path.read_text()))
        except SyntaxError as error:
            raise UnreadableError(f"{path.relative_to(root)}:{error.lineno}: {error.msg}") from error
    for type_, place, capability in made.registered:
        texts = {_written(type_)} if isinstance(type_, ast.Constant) else made.constants.get(_receiver(type_), set())
        if len(texts) != 1:
            made.unread.append(f"{place}: a handler whose type is no literal text")
        made.handled.update({str(text): (place, capability) for text in texts})
    return made


def _schema(path: Path, root: Path) -> dict[str, Any]:
    try:
        schema = _json_schema(path.read_text())
    except (ValueError, SchemaError) as error:
        raise UnreadableError(f"{path.relative_to(root)}: {str(error).splitlines()[0]}") from error
    if not isinstance(schema, dict):
        raise UnreadableError(f"{path.relative_to(root)}: a schema is an object")
    return schema


def _document(path: Path, root: Path) -> dict[str, Any]:
    try:
        document = _yaml(path.read_text())
    except yaml.YAMLError as error:
        raise UnreadableError(f"{path.relative_to(root)}: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("paths"), dict):
        raise UnreadableError(f"{path.relative_to(root)}: no OpenAPI document with paths")
    return document


# Most files are the same in both trees, and nobody changes what was read.
@lru_cache
def _yaml(text: str) -> Any:
    return yaml.load(text, yaml.CSafeLoader)


@lru_cache
def _json_schema(text: str) -> Any:
    schema = json.loads(text)
    Draft202012Validator.check_schema(schema)
    return schema


class _Reader(ast.NodeVisitor):
    """Notes the uses of one module."""

    def __init__(self, project: Project, module: str) -> None:
        self._project, self._module = project, module
        self._clients: set[str] = set()
        self._keys = project.keys.setdefault(module, {})

    def visit_Module(self, node: ast.Module) -> None:
        self._clients |= set(_clients(node))
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        self.generic_visit(node)
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            for each in node.targets:
                self._project.constants.setdefault(_receiver(each), set()).add(node.value.value)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str):
            self._keys.setdefault(node.value, self._place(node))

    def visit_Call(self, node: ast.Call) -> None:
        self.generic_visit(node)
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name == "handles":
            self._handler(node)
            return
        for argument in [*node.args, *(each.value for each in node.keywords)]:
            if (pattern := _pattern(argument)) is not None and "." in pattern:
                self._project.texts.append((pattern, self._place(argument)))
            elif isinstance(argument, ast.Name | ast.Attribute):
                self._project.names.append((_receiver(argument), self._place(argument)))
        if name in {*METHODS, "request"} and isinstance(node.func, ast.Attribute):
            self._call(node, node.func, name)

    def _handler(self, node: ast.Call) -> None:
        given = {each.arg: each.value for each in node.keywords}
        capability = given.get("capability")
        named = str(capability.value) if isinstance(capability, ast.Constant) else ""
        self._project.registered.append(((node.args or [given.get("type")])[0], self._place(node), named))

    def _call(self, node: ast.Call, function: ast.Attribute, name: str) -> None:
        at = 1 if name == "request" else 0
        path = node.args[at] if len(node.args) > at else None
        path = path or next((each.value for each in node.keywords if each.arg == "path"), None)
        method = name
        if name == "request":
            method = str(node.args[0].value).lower() if node.args and isinstance(node.args[0], ast.Constant) else ""
        written = _written(path)
        if written is not None and written.startswith("/") and method:
            called = Call(method, template(written.partition("?")[0]), self._place(node), self._module)
            self._project.calls.append(called)
        elif _receiver(function.value) in self._clients:
            self._project.unread.append(f"{self._place(node)}: a call whose path is no literal text")

    def _place(self, node: ast.AST) -> str:
        return f"{self._module}:{getattr(node, 'lineno', 0)}"


def _clients(module: ast.Module) -> Iterator[str]:
    """Names of the chassis' clients, and of functions which return one."""
    made = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Assign) and _receiver(node.value) == "Client":
            made |= {each.id for each in node.targets if isinstance(each, ast.Name)}
    yield from made
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef):
            returned = {
                each.value.id
                for each in ast.walk(node)
                if isinstance(each, ast.Return) and isinstance(each.value, ast.Name)
            }
            if returned & made:
                yield node.name


def _receiver(node: ast.expr | None) -> str:
    """The name of what is called or is asked."""
    node = node.func if isinstance(node, ast.Call) else node
    return node.id if isinstance(node, ast.Name) else getattr(node, "attr", "")


def _written(node: ast.expr | None) -> str | None:
    """A literal text, with ``{}`` where an f-string has a value."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(str(each.value) if isinstance(each, ast.Constant) else ANYTHING for each in node.values)
    return None


def _pattern(node: ast.expr) -> str | None:
    """A regular expression for what a literal text may be."""
    written = _written(node)
    # What is all unknown would be each type.
    if written is None or not written.partition(ANYTHING)[0]:
        return None
    return ".+".join(re.escape(part) for part in written.split(ANYTHING))
