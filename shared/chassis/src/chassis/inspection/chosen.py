"""The settings which a project has chosen itself, for a service that is to be written by them.

A value is told only if JSON can hold it; a secret never. What JSON cannot hold as it is, is an object with one key:
``$environment`` (the name of a variable, in the place of a secret), ``$path`` (from the folder of manage.py),
``$seconds``, ``$tuple``.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Collection, Iterator, Mapping
from datetime import timedelta
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path, PurePath
from typing import Any

from django.conf import global_settings, settings
from django.utils.functional import Promise

from chassis.inspection import secrecy, sources

# A package with more text than that is not searched for the settings that it reads.
MOST_FILES = 3000
_OF_DATABASES = ("ENGINE", "ATOMIC_REQUESTS")


class _OpaqueError(Exception):
    """JSON has no such value."""


def chosen() -> list[dict[str, Any]]:
    """Each with ``place`` of its assignment, ``kind`` (``value``, ``secret``, or ``opaque`` with the ``type``), whether
    it is Django's own, and which installed packages read it."""
    names = [name for name in dir(settings) if name.isupper() and settings.is_overridden(name)]
    places = _places(str(getattr(settings, "SETTINGS_MODULE", "") or ""))
    readers = _readers([name for name in names if not hasattr(global_settings, name)])
    return [
        {
            "name": name,
            **_told(name, getattr(settings, name), public=places.get(name, {}).pop("public", False)),
            "django": hasattr(global_settings, name),
            **places.get(name, {"place": "", "file": "", "line": 0, "once": False}),
            "readers": sorted(readers.get(name, ())),
        }
        for name in names
    ]


# Nothing of a project imports these.
_SERVERS = {"gunicorn", "uvicorn"}


def distributions() -> dict[str, dict[str, str]]:
    """By module that is imported and was installed, or that serves the project, the distribution that has it, with its
    version."""
    by_module = metadata.packages_distributions()
    found = {}
    imported = {one.partition(".")[0] for one in list(sys.modules)}
    for name in sorted((imported | _SERVERS) & by_module.keys()):
        distribution = by_module[name][0]
        found[name] = {"name": distribution, "version": metadata.version(distribution)}
    return found


def _told(name: str, value: Any, *, public: bool = False) -> dict[str, Any]:
    """``public``: an installed package's text says it."""
    if name == "DATABASES":
        # Where this database is, is of no use to a service, and concerns nobody.
        value = {alias: {key: one.get(key) for key in _OF_DATABASES} for alias, one in value.items()}
    if not public and secrecy.is_secret(name, value):
        return {"kind": "secret"}
    try:
        return {"kind": "value", "value": plain(value, name)}
    except _OpaqueError:
        return {"kind": "opaque", "type": type(value).__qualname__}


def plain(value: Any, name: str) -> Any:
    """The value for JSON; ``name`` is the setting's, with the keys on the way to it.

    Raises _OpaqueError.
    """
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str | Promise | PurePath):
        return _text(str(value), is_path=isinstance(value, PurePath))
    if isinstance(value, timedelta):
        return {"$seconds": value.total_seconds()}
    if isinstance(value, Mapping):
        return _mapping(value, name)
    if isinstance(value, tuple):
        return {"$tuple": [plain(one, name) for one in value]}
    if isinstance(value, list | set | frozenset):
        items = list(value) if isinstance(value, list) else sorted(value, key=repr)
        return [_item(one, name, number) for number, one in enumerate(items)]
    raise _OpaqueError


def _text(value: str, *, is_path: bool) -> Any:
    base = str(Path.cwd().resolve())
    if value == base or value.startswith(f"{base}/"):
        return {"$path": value[len(base) + 1 :]}
    # An absolute path elsewhere is this machine's.
    if is_path and value.startswith("/"):
        raise _OpaqueError
    return value


def _mapping(value: Mapping[Any, Any], name: str) -> dict[str, Any]:
    found = {}
    for key, one in value.items():
        if not isinstance(key, str) or key.startswith("$"):
            raise _OpaqueError
        inner = f"{name}_{key}"
        found[key] = {"$environment": _variable(inner)} if secrecy.is_secret(key, one) else plain(one, inner)
    return found


def _item(value: Any, name: str, number: int) -> Any:
    inner = f"{name}_{number}"
    return {"$environment": _variable(inner)} if secrecy.is_secret("", value) else plain(value, inner)


def _variable(name: str) -> str:
    return re.sub(r"[^A-Z0-9]+", "_", name.upper()).strip("_")


def _places(module: str) -> dict[str, dict[str, Any]]:
    """Where the settings are assigned, in the module and in those that it imports whole; the last word counts.
    ``once``: it is written in one place, as a statement of the module itself."""
    found: dict[str, dict[str, Any]] = {}
    _look(module, found, set())
    return found


def _look(module: str, found: dict[str, dict[str, Any]], seen: set[str]) -> None:
    file = _file(module)
    if not file or file in seen:
        return
    seen.add(file)
    tree = sources.tree(file)
    top = set(map(id, tree.body)) if tree else set()
    for statement in _statements(tree):
        if isinstance(statement, ast.ImportFrom) and any(alias.name == "*" for alias in statement.names):
            _look(_absolute(module, statement, file), found, seen)
        for name in _targets(statement):
            again = name in found or isinstance(statement, ast.AugAssign) or id(statement) not in top
            shown = sources.shown(file)
            found[name] = {
                "place": f"{shown}:{statement.lineno}",
                "file": shown if sources.is_own(file) else "",
                "line": statement.lineno,
                "once": not again,
                "public": not again
                and not sources.is_own(file)
                and isinstance(getattr(statement, "value", None), ast.Constant),
            }


def _file(module: str) -> str:
    loaded = sys.modules.get(module)
    if loaded is not None:
        return str(getattr(loaded, "__file__", None) or "")
    try:
        spec = find_spec(module) if module else None
    except (ImportError, ValueError):
        return ""
    return str(spec.origin or "") if spec else ""


def _absolute(module: str, statement: ast.ImportFrom, file: str) -> str:
    if not statement.level:
        return statement.module or ""
    package = module.split(".") if Path(file).name == "__init__.py" else module.split(".")[:-1]
    base = package[: len(package) - statement.level + 1]
    return ".".join([*base, *([statement.module] if statement.module else [])])


def _statements(tree: ast.AST | None) -> Iterator[ast.stmt]:
    """Those that run when the module is imported, in their order."""
    for child in ast.iter_child_nodes(tree) if tree else ():
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        if isinstance(child, ast.stmt):
            yield child
            yield from _statements(child)
        elif isinstance(child, ast.ExceptHandler):
            yield from _statements(child)


def _targets(statement: ast.stmt) -> Iterator[str]:
    targets: list[ast.expr] = []
    if isinstance(statement, ast.Assign):
        targets = list(statement.targets)
    elif isinstance(statement, ast.AnnAssign | ast.AugAssign):
        targets = [statement.target]
    for target in targets:
        for node in target.elts if isinstance(target, ast.Tuple | ast.List) else [target]:
            if isinstance(node, ast.Name) and node.id.isupper():
                yield node.id


def _readers(names: Collection[str]) -> dict[str, set[str]]:
    """By setting the installed packages which name it, of those that the settings themselves name."""
    found: dict[str, set[str]] = {}
    if not names:
        return found
    words = re.compile(rb"\b(" + b"|".join(re.escape(name.encode()) for name in names) + rb")\b")
    for package in _packages():
        for file in _python(package):
            try:
                text = file.read_bytes()
            except OSError:
                continue
            for name in set(words.findall(text)):
                found.setdefault(name.decode(), set()).add(package)
    return found


def _packages() -> list[str]:
    named = [*settings.INSTALLED_APPS, *settings.MIDDLEWARE, *settings.AUTHENTICATION_BACKENDS]
    tops = dict.fromkeys(str(one).partition(".")[0] for one in named)
    return [one for one in tops if one != "django" and (one == "chassis" or not sources.is_own(_file(one)))]


def _python(package: str) -> list[Path]:
    file = _file(package)
    if not file:
        return []
    files = list(Path(file).parent.rglob("*.py")) if Path(file).name == "__init__.py" else [Path(file)]
    return files if len(files) <= MOST_FILES else []
