"""The source of what runs: which function is written where, and which code is the project's own."""

from __future__ import annotations

import ast
import re
import site
import sys
import sysconfig
from collections import deque
from collections.abc import Iterator
from functools import cache, lru_cache
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import django

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda

# Written beside a write, or beside the function around it, with the reason: a person has looked at it.
CHECKED = re.compile(r"#\s*strangler-check:\s*(?P<reason>\S.*)")

_STANDARD = {Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib")}
_PACKAGES = {Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib")}
_PACKAGES |= {Path(folder).resolve() for folder in site.getsitepackages()}
_FOLDERS = {"site-packages", "dist-packages"}
_INSTALLED = {*_PACKAGES, Path(str(django.__file__)).resolve().parent}
# A line takes about two kilobytes once it is parsed, so a large project is not kept as a whole. What is looked at one
# after the other lies in few files.
FILES_KEPT = 200


@lru_cache(maxsize=FILES_KEPT)
def tree(file: str) -> ast.Module | None:
    """The file as it is written, or None where it cannot be read."""
    try:
        return ast.parse("\n".join(lines(file)))
    except (SyntaxError, ValueError):
        return None


@lru_cache(maxsize=FILES_KEPT)
def lines(file: str) -> tuple[str, ...]:
    """The file's lines; none where it cannot be read."""
    try:
        return tuple(Path(file).read_text(encoding="utf-8").split("\n"))
    except (OSError, ValueError):
        return ()


@lru_cache(maxsize=FILES_KEPT)
def _by_name(file: str) -> dict[tuple[str, int], FunctionNode]:
    """The file's functions by name and first line, as their code knows them."""
    found = tree(file)
    if found is None:
        return {}
    # Only lambdas stand in expressions, which are most of what there is to walk.
    whole = any("lambda" in line for line in lines(file))
    return dict(map(_indexed, _functions(found) if whole else _defined(found)))


def node(function: FunctionType) -> FunctionNode | None:
    """Where the function is written."""
    code = function.__code__
    return _by_name(code.co_filename).get((code.co_name, code.co_firstlineno))


def reason(file: str, *places: int) -> str | None:
    """What a person has written about one of these lines: at its end, or above it and its decorators."""
    text = lines(file)
    for line in places:
        number = line
        while 0 < number <= len(text):
            found = CHECKED.search(text[number - 1])
            if found:
                return found["reason"].strip()
            number -= 1
            if not text[number - 1].lstrip().startswith(("#", "@")):
                break
    return None


def imported(file: str, name: str) -> tuple[str, str] | None:
    """The module, and the name in it, that a name of the file stands for in its annotations alone."""
    return _imports(file).get(name)


@cache
def _imports(file: str) -> dict[str, tuple[str, str]]:
    found = tree(file)
    names: dict[str, tuple[str, str]] = {}
    for statement in ast.walk(found) if found else ():
        if isinstance(statement, ast.ImportFrom) and statement.module and not statement.level:
            for alias in statement.names:
                names.setdefault(alias.asname or alias.name, (statement.module, alias.name))
    return names


@lru_cache(maxsize=4096)
def is_standard(file: str) -> bool:
    """Whether the file is Python's own."""
    path = _resolved(file)
    return file.startswith("<") or (_below(path, _STANDARD) and not is_installed(file))


@lru_cache(maxsize=4096)
def is_installed(file: str) -> bool:
    """Whether a package was installed with the file, so that it is not the project's own."""
    path = _resolved(file)
    return _below(path, _INSTALLED) or not _FOLDERS.isdisjoint(path.parts)


@lru_cache(maxsize=4096)
def is_own(file: str) -> bool:
    """Whether the file is the project's own. The chassis is not, wherever it was installed from."""
    return file != "" and not is_standard(file) and not is_installed(file) and not _below(_resolved(file), {_CHASSIS})


_CHASSIS = Path(__file__).resolve().parent.parent


@lru_cache(maxsize=4096)
def shown(file: str) -> str:
    """The file as it is named to people: from the folder of installed packages, or from the working directory."""
    path = _resolved(file)
    # A package keeps its name wherever its environment lies, so that a setting can name the place.
    for folder in (*_PACKAGES, *(one for one in path.parents if one.name in _FOLDERS), Path.cwd()):
        if path.is_relative_to(folder):
            return str(path.relative_to(folder))
    return str(path)


def where_to_say(file: str) -> str:
    """Where a person says why a finding in the file is no fault."""
    return "in a comment" if is_own(file) else "in CHASSIS_CHECKED"


def place(thing: Any) -> str:
    """Where a function, a method or a class is written, as file and line; its dotted name where that is not known."""
    thing = getattr(thing, "__func__", thing)
    while hasattr(thing, "__wrapped__"):
        thing = thing.__wrapped__
    if isinstance(thing, FunctionType):
        written = node(thing)
        line = thing.__code__.co_firstlineno if written is None else written.lineno
        return f"{shown(thing.__code__.co_filename)}:{line}"
    return _class_place(thing if isinstance(thing, type) else type(thing))


def line_of(thing: Any) -> tuple[str, int]:
    """The file and the line of a function or class; an empty name where they are not known."""
    file, _, line = place(thing).rpartition(":")
    return (file_of(thing), int(line)) if file and line.isdigit() else ("", 0)


def dotted(thing: Any) -> str:
    """The name of a function or class with its module."""
    thing = getattr(thing, "func", thing)
    name = getattr(thing, "__qualname__", type(thing).__qualname__)
    return f"{getattr(thing, '__module__', '?')}.{name}"


def _class_place(cls: type) -> str:
    file = file_of(cls)
    found = tree(file) if file else None
    for each in ast.walk(found) if found else ():
        if isinstance(each, ast.ClassDef) and each.name == cls.__name__:
            return f"{shown(file)}:{each.lineno}"
    return dotted(cls)


def file_of(thing: Any) -> str:
    """The file in which a function or class is written; empty where that is not known."""
    code = getattr(thing, "__code__", None)
    if isinstance(code, CodeType):
        return code.co_filename
    module = sys.modules.get(getattr(thing, "__module__", None) or "")
    return str(getattr(module, "__file__", None) or "")


def _functions(tree: ast.Module) -> list[FunctionNode]:
    return [node for node in ast.walk(tree) if isinstance(node, FunctionNode)]


def _defined(found: ast.AST) -> Iterator[FunctionNode]:
    """The functions that statements define, in the order of `_functions`."""
    left: deque[ast.AST] = deque([found])
    while left:
        one = left.popleft()
        if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef):
            yield one
        for name in ("body", "handlers", "orelse", "finalbody", "cases"):
            left.extend(getattr(one, name, ()))


def _indexed(node: FunctionNode) -> tuple[tuple[str, int], FunctionNode]:
    if isinstance(node, ast.Lambda):
        return ("<lambda>", node.lineno), node
    return (node.name, min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])), node


def _below(path: Path, folders: set[Path]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)


@lru_cache(maxsize=4096)
def _resolved(file: str) -> Path:
    return Path(file).resolve()
