"""What a middleware of a package puts on requests, and which files of the package rely on it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from strangler.domain.words import counted
from strangler.extract.code.modules import dotted
from strangler.extract.frame.surroundings import Surroundings

_READ = (".py", ".html", ".txt", ".xml", ".jinja", ".jinja2")
_ASIDE = frozenset({"migrations", "test", "tests"})


def missed_of(here: Surroundings, middleware: str) -> str:
    """Which attributes of requests it sets that code or templates of its package use, with the first place of each;
    empty where nothing does, or where the package is no part of the service."""
    top, *inner = middleware.split(".")[:-1]
    folder = here.described.folders.get(top)
    taken = {app.module.partition(".")[0] for app in here.source.apps if not app.own}
    if folder is None or top not in taken - {"django"}:
        return ""  # Django's own have the chassis's in their place
    file = Path(folder, *inner).with_suffix(".py") if inner else Path(folder, "__init__.py")
    names = sorted(set(_set_by(file)))
    found: dict[str, list[str]] = {name: [] for name in names}
    for path, text in _texts(Path(folder), file) if names else ():
        for name in names:
            match = re.search(rf"\brequest\.{re.escape(name)}\b", text)
            if match:
                line = text.count("\n", 0, match.start()) + 1
                found[name].append(f"{path.relative_to(Path(folder).parent)}:{line}")
    said = [
        f"request.{name}, which it sets, is used by {counted(len(places), 'file')} of the package, such as {places[0]}"
        for name, places in found.items() if places
    ]  # fmt: skip
    return "; ".join(said)


def _set_by(file: Path) -> Iterator[str]:
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and dotted(node.value) == "request":
            yield node.attr


def _texts(folder: Path, but: Path) -> Iterator[tuple[Path, str]]:
    for path in sorted(folder.rglob("*")):
        if path.suffix in _READ and path != but and not _ASIDE & {*path.relative_to(folder).parts}:
            try:
                yield path, path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError):
                continue
