"""How a project writes its settings: the statements, with their comments and what they need.

A statement is taken as it is written only if nothing in it can be a secret, and all that it needs can come along.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from strangler.extract.frame import secrecy

_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")


@dataclass(frozen=True, slots=True)
class Statement:
    """Lines of a settings file: an assignment with the comment above it, or a helper of it."""

    text: str
    needs: tuple[str, ...]  # settings that it names
    imports: tuple[str, ...]  # whole import statements
    helpers: tuple[str, ...]  # other statements of the file, in their order


@dataclass(frozen=True, slots=True)
class File:
    """A settings file, parsed."""

    lines: tuple[str, ...] = ()
    imports: Mapping[str, str] = field(default_factory=dict)  # by name, the statement that brings it
    modules: Mapping[str, str] = field(default_factory=dict)  # by name, what it is, dotted
    assigned: Mapping[str, ast.stmt] = field(default_factory=dict)
    twice: frozenset[str] = frozenset()


@cache
def parsed(path: Path) -> File:
    """The file; an empty one where it cannot be read."""
    try:
        source = path.read_text(encoding="utf-8")
        tree = ast.parse(source)
    except (OSError, ValueError, SyntaxError):
        return File()
    imports, modules, assigned = {}, {}, {}
    twice: set[str] = set()
    for statement in tree.body:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            for name, line, module in _imported(statement):
                imports[name], modules[name] = line, module
        for name in _targets(statement):
            if name in assigned:
                twice.add(name)
            assigned[name] = statement
    return File(tuple(source.splitlines()), imports, modules, assigned, frozenset(twice))


def _imported(statement: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, str, str]]:
    for alias in statement.names:
        said = f" as {alias.asname}" if alias.asname else ""
        if isinstance(statement, ast.Import):
            yield alias.asname or alias.name.partition(".")[0], f"import {alias.name}{said}", alias.name
        elif not statement.level and alias.name != "*":
            line = f"from {statement.module} import {alias.name}{said}"
            yield alias.asname or alias.name, line, f"{statement.module}.{alias.name}"


def _targets(statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, ast.Assign):
        for target in statement.targets:
            if isinstance(target, ast.Name):
                yield target.id
    elif (isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and statement.value) or (
        isinstance(statement, ast.AugAssign) and isinstance(statement.target, ast.Name)
    ):
        yield statement.target.id
    elif isinstance(statement, ast.FunctionDef):
        yield statement.name


def statement(path: Path, name: str, *, is_foreign: Callable[[str], bool], depth: int) -> Statement | None:
    """The assignment of a setting, if it can stand in the service as it is written.

    ``is_foreign`` says whether a dotted name is one of the project's own that does not come along. ``depth`` is how
    many folders below manage.py the file is: one that looks for its own place can be taken only from where the service
    has its settings.
    """
    file = parsed(path)
    found = file.assigned.get(name)
    if found is None or name in file.twice or isinstance(found, ast.AugAssign | ast.FunctionDef):
        return None
    needed = _Needed(file, is_foreign, depth, {name})
    if not needed.of(found):
        return None
    return Statement(_text(file, found), tuple(needed.settings), tuple(needed.imports), tuple(needed.helpers))


@dataclass
class _Needed:
    """What a statement and its helpers name, as it is found."""

    file: File
    is_foreign: Callable[[str], bool]
    depth: int
    seen: set[str]
    settings: dict[str, None] = field(default_factory=dict)
    imports: dict[str, None] = field(default_factory=dict)
    helpers: dict[str, None] = field(default_factory=dict)

    def of(self, node: ast.stmt) -> bool:
        """Adds it; False where something of it cannot come along, or must not."""
        if hides(node) or isinstance(node, ast.AugAssign):
            return False
        words = [one.value for one in ast.walk(node) if isinstance(one, ast.Constant) and isinstance(one.value, str)]
        if any(_DOTTED.fullmatch(word) and self.is_foreign(word) for word in words):
            return False
        bound = {one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)}
        bound |= {one.arg for one in ast.walk(node) if isinstance(one, ast.arg)}
        names = dict.fromkeys(one.id for one in ast.walk(node) if isinstance(one, ast.Name))
        return all(name in self.seen or name in bound or hasattr(builtins, name) or self._name(name) for name in names)

    def _name(self, name: str) -> bool:
        if name == "__file__":
            return self.depth == 1
        if name in self.file.imports:
            self.imports[self.file.imports[name]] = None
            return not self.is_foreign(self.file.modules[name])
        if name not in self.file.assigned or name in self.file.twice:
            return False
        if name.isupper():
            self.settings[name] = None
            return True
        self.seen.add(name)
        helper = self.file.assigned[name]
        if not self.of(helper):
            return False
        self.helpers[_text(self.file, helper)] = None
        return True


def _text(file: File, node: ast.stmt) -> str:
    """The lines of the statement, and the comment lines right above it."""
    first = node.lineno - 1
    while first > 0 and file.lines[first - 1].startswith("#"):
        first -= 1
    return "\n".join(file.lines[first : node.end_lineno])


def hides(node: ast.AST) -> bool:
    """Whether a secret could be written in the statement itself, not only the name of a variable."""
    for one in ast.walk(node):
        if isinstance(one, ast.Constant) and isinstance(one.value, str) and secrecy.is_shown(one.value):
            return True
        if isinstance(one, ast.Dict):
            pairs = zip(one.keys, one.values, strict=True)
            if any(_key(key) and secrecy.is_told(_key(key)) and _spells(value) for key, value in pairs):
                return True
        if isinstance(one, ast.keyword) and one.arg and secrecy.is_told(one.arg) and _spells(one.value):
            return True
        if isinstance(one, ast.Call) and _asks_for_secret(one):
            return True
    targets = list(_targets(node)) if isinstance(node, ast.stmt) else []
    value = getattr(node, "value", None)
    return any(secrecy.is_told(name) for name in targets) and isinstance(value, ast.expr) and _spells(value)


def _key(node: ast.expr | None) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _asks_for_secret(call: ast.Call) -> bool:
    """Whether it reads a variable that sounds secret, and says what it is without one."""
    words = [one.value for one in call.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    words += [
        one.value.value
        for one in call.keywords
        if isinstance(one.value, ast.Constant) and isinstance(one.value.value, str)
    ]
    return (
        len(words) > 1
        and bool(_VARIABLE.fullmatch(words[0]))
        and secrecy.is_told(words[0])
        and not all(map(secrecy.is_harmless, words[1:]))
    )


def _spells(value: ast.expr) -> bool:
    """Whether an expression of a secret holds text that is not the name of a variable which is read."""
    if isinstance(value, ast.Name):
        return False
    asked = set()
    for one in ast.walk(value):
        if isinstance(one, ast.Call) and one.args:
            asked.add(id(one.args[0]))
        elif isinstance(one, ast.Subscript):
            asked.add(id(one.slice))
    return any(
        isinstance(one, ast.Constant)
        and isinstance(one.value, str | bytes)
        and not secrecy.is_harmless(str(one.value))
        and not (id(one) in asked and isinstance(one.value, str) and _VARIABLE.fullmatch(one.value))
        for one in ast.walk(value)
    )
