"""Links of the documentation within this repository: each leads to a file that is there, and to a heading of it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("*.md", "docs/**/*.md", "k8s/**/*.md", "services/**/*.md", "shared/*/README.md")
_LINK = re.compile(r"\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
_FENCED = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
_OUTSIDE = re.compile(r"[a-z][a-z+.-]*:")


def broken() -> Iterator[str]:
    """Each link that leads nowhere, with its page and line."""
    pages = sorted({page for pattern in PAGES for page in ROOT.glob(pattern)})
    for page in pages:
        text = _without_code(page.read_text(encoding="utf-8"))
        for match in _LINK.finditer(text):
            if not _OUTSIDE.match(match[1]) and (fault := _fault(page, match[1])):
                yield f"{page.relative_to(ROOT)}:{text.count(chr(10), 0, match.start()) + 1}: {match[1]}: {fault}"


def _fault(page: Path, link: str) -> str:
    path, _, anchor = unquote(link).partition("#")
    target = page.parent / path if path else page
    if not target.exists():
        return "there is no such file"
    if anchor and target.suffix == ".md" and anchor not in anchors(target.read_text(encoding="utf-8")):
        return "the page has no such heading"
    return ""


def anchors(text: str) -> set[str]:
    """What links to a page's headings end with, as forges make them: a repeated heading is numbered."""
    found: list[str] = re.findall(r"<a (?:id|name)=\"([^\"]+)\"", text)
    times: Counter[str] = Counter()
    for heading in re.findall(r"^#{1,6} +(.+?) *#*$", _without_code(text), re.MULTILINE):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        name = re.sub(r"[^\w -]", "", shown.lower()).replace(" ", "-")
        found.append(f"{name}-{times[name]}" if times[name] else name)
        times[name] += 1
    return set(found)


def _without_code(text: str) -> str:
    """Lines keep their numbers."""
    return _FENCED.sub(lambda match: "\n" * match[0].count("\n"), text)
