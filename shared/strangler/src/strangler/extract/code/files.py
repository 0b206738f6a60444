"""What an app has besides Python: templates, static files, fixtures; they come along as they are."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path, PurePosixPath

from strangler.extract.code.modules import Code, walk
from strangler.extract.code.scope import Scope

_EXTENDS = re.compile(r"""\{%-?\s*(?:extends|include|import|from)\s+["']([^"']+)["']""")
_LOADS = re.compile(r"""\{%-?\s*load\s+([^%]*?)-?%\}""")
_URLS = re.compile(r"""\{%-?\s*url\s+["']([^"']+)["']""")
TEMPLATES = (".html", ".htm", ".txt", ".xml", ".jinja", ".jinja2")
LARGEST = 1_000_000  # bytes of a template that is read


def of_apps(scope: Scope) -> dict[PurePosixPath, Path]:
    """The files in the folders of taken apps, by where they lie in the service."""
    found: dict[PurePosixPath, Path] = {}
    for app in scope.apps:
        top = scope.code.find(app.module)
        if top is None or not top.is_package:
            continue
        folder = top.file.parent
        base = PurePosixPath(*app.module.split("."))
        others = [each for each in scope.described.apps.values() if each.module.startswith(f"{app.module}.")]
        nested = [folder.joinpath(*each.module.removeprefix(f"{app.module}.").split(".")) for each in others]
        for file in walk(folder):
            if file.suffix in (".py", ".pyc", ".pyi") or "migrations" in file.relative_to(folder).parts:
                continue
            if not any(file.is_relative_to(each) for each in nested):
                found[base / PurePosixPath(file.relative_to(folder))] = file
    return found


def templates_elsewhere(
    code: Code, named: Collection[str], taken: Collection[PurePosixPath]
) -> Iterator[tuple[str, PurePosixPath, Path]]:
    """Templates that are named, and lie in no taken app: the name, the place in the service, and the file."""
    have = {str(path).partition("templates/")[2] for path in taken}
    waiting = [name for name in named if name not in have]
    seen: set[str] = set()
    folders = list(dict.fromkeys(_folders(code))) if waiting else []
    while waiting:
        name = waiting.pop()
        if name in seen or name in have:
            continue
        seen.add(name)
        for folder in folders:
            file = folder / name
            if file.is_file():
                yield name, PurePosixPath("templates", name), file
                waiting += _EXTENDS.findall(text_of(file))
                break


def named_by(files: Iterable[Path]) -> list[str]:
    """The templates that templates name."""
    return [name for file in files if file.suffix in TEMPLATES for _, name in extended(text_of(file))]


def _folders(code: Code) -> Iterator[Path]:
    for file in walk(code.root):
        for parent in file.parents:
            if parent.name in ("templates", "jinja2"):
                yield parent
            if parent == code.root:
                break


def text_of(file: Path) -> str:
    """A template's text; empty where it cannot be read as one."""
    try:
        return file.read_text(encoding="utf-8") if file.stat().st_size < LARGEST else ""
    except (OSError, UnicodeDecodeError):
        return ""


def whole_text(file: Path) -> str | None:
    """The file as text, with its line ends; None where UTF-8 does not say the same bytes, or a person reads none."""
    content = file.read_bytes()
    if b"\0" in content or len(content) > LARGEST:
        return None
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return None


def extended(text: str) -> list[tuple[int, str]]:
    """The templates that one names, with lines."""
    return [(_line(text, match.start()), match[1]) for match in _EXTENDS.finditer(text)]


def linked(text: str) -> list[tuple[int, str]]:
    """The names of URLs in a template, with lines."""
    return [(_line(text, match.start()), match[1]) for match in _URLS.finditer(text)]


def loaded(text: str) -> list[tuple[int, str]]:
    """The libraries of tags that a template loads, with lines."""
    found = []
    for match in _LOADS.finditer(text):
        words = match[1].split()
        names = words[words.index("from") + 1 :] if "from" in words else words
        found += [(_line(text, match.start()), name) for name in names]
    return found


def _line(text: str, place: int) -> int:
    return text.count("\n", 0, place) + 1
