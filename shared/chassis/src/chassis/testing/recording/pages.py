"""What a page shows that a later request sends: the paths that it leads to, and what its forms hold."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin, urlsplit

from chassis.testing.recording.hiding import LONGEST, MASK, SECRET, hidden

LARGEST_PAGE = 1024 * 1024
MOST_PATHS = 500
MOST_CHOICES = 20
RELATIVE = ("href", "action", "formaction")
TICKED = ("radio", "checkbox")


def page(response: Any, path: str, host: str) -> dict[str, Any] | None:
    """``paths`` on this host, ``hidden`` fields and the ``choices`` of others, by name; None if it is no page.

    Secrets, the token against forged requests among them, are not in it.
    """
    if getattr(response, "streaming", False) or "text/html" not in str(response.get("Content-Type", "")):
        return None
    content = bytes(response.content)
    if len(content) > LARGEST_PAGE:
        return None
    reader = _Reader(path, host)
    reader.feed(content.decode(response.charset or "utf-8", errors="replace"))
    reader.close()
    return {"paths": list(reader.paths), "hidden": reader.hidden, "choices": reader.choices}


class _Reader(HTMLParser):
    def __init__(self, path: str, host: str) -> None:
        super().__init__(convert_charrefs=True)
        self.paths: dict[str, None] = {}
        self.hidden: dict[str, str] = {}
        self.choices: dict[str, list[str]] = {}
        self._path = path
        self._host = host
        self._select = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        for name, value in given.items():
            if name in RELATIVE or value.startswith(("/", "http://", "https://")):
                self._lead(value)
        if tag == "select":
            self._select = given.get("name", "")
        elif tag == "option" and self._select:
            self._offer(self._select, given.get("value", ""))
        elif tag == "input" and (field := given.get("name")):
            value = given.get("value", "")
            if given.get("type") == "hidden" and not SECRET.search(field) and hidden(value, field) != MASK:
                self.hidden[field] = value[:LONGEST]
            elif given.get("type") in TICKED:
                self._offer(field, value)

    def handle_endtag(self, tag: str) -> None:
        if tag == "select":
            self._select = ""

    def _lead(self, value: str) -> None:
        parts = urlsplit(urljoin(self._path, value.strip()))
        here = parts.scheme in ("", "http", "https") and parts.netloc in ("", self._host)
        if here and parts.path.startswith("/") and len(self.paths) < MOST_PATHS and hidden(parts.path) != MASK:
            self.paths.setdefault(parts.path[:LONGEST])

    def _offer(self, field: str, value: str) -> None:
        kept = self.choices.setdefault(field, [])
        if value and len(kept) < MOST_CHOICES and hidden(value, field) != MASK:
            kept.append(value[:LONGEST])
