"""An HTML page as a scenario's client reads it: the ids in its links and forms, and what its forms hold."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from html.parser import HTMLParser
from urllib.parse import unquote, urljoin, urlsplit

from strangler.domain.traffic import Answer, Unexpected

EMPTY = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
)
# What a start tag ends if its own end was left out, and what it does not look beyond.
IMPLIED = {
    **{tag: ({tag}, {"ul", "ol", "menu"}) for tag in ("li",)},
    **{tag: ({"dt", "dd"}, {"dl"}) for tag in ("dt", "dd")},
    **{tag: ({"td", "th"}, {"tr", "table"}) for tag in ("td", "th")},
    "tr": ({"tr"}, {"table", "tbody", "thead", "tfoot"}),
    "option": ({"option"}, {"select", "datalist"}),
}
LEADING = frozenset({"href", "action", "formaction"})
TICKED = ("radio", "checkbox")
PLACE = "{}"


class Page:
    """``Page(answer.body, "/desk/")``: the content, and where it was asked for, from where relative links lead.

    A path is named with ``{}`` where the id stands: ``/desk/{}/back/``.
    """

    def __init__(self, content: bytes | str, path: str = "/") -> None:
        text = content.decode(errors="replace") if isinstance(content, bytes) else content
        reader = _Reader(path)
        reader.feed(text)
        reader.close()
        self._root = reader.root

    def ids(self, path: str) -> list[str]:
        """What stands for ``{}`` in the links and forms that lead to such a path: each once, from above."""
        return _ids(self._root, path)

    def id(self, path: str, near: str) -> str:
        """The one that stands nearest to a text, or to an attribute that has it, such as in the same row of a table.

        Raises:
            Unexpected: the page does not have the text, or beside it no such path, or several.
        """
        return self._nearest(near, lambda element: _ids(element, path), f"a link to {path}")

    def hidden(self, name: str, near: str = "") -> str:
        """The value of a hidden field; with ``near`` that which stands nearest to a text.

        Raises:
            Unexpected: there is none.
        """
        if near:
            return self._nearest(near, lambda element: _hidden(element, name), f"a hidden field {name}")
        if not (found := _hidden(self._root, name)):
            raise Unexpected(f"the page has no hidden field {name}")
        return found[0]

    def choices(self, name: str) -> list[str]:
        """The values that a field offers: a select's options, radio buttons, boxes.

        Raises:
            Unexpected: it offers none.
        """
        found = [*dict.fromkeys(filter(None, _choices(self._root, name)))]
        if not found:
            raise Unexpected(f"the page offers nothing for {name}")
        return found

    @property
    def token(self) -> str:
        """Django's token against forged requests; empty where the page has none."""
        return next(iter(_hidden(self._root, "csrfmiddlewaretoken")), "")

    def _nearest(self, near: str, find: Callable[[_Element], list[str]], what: str) -> str:
        wanted = re.compile(rf"(?<![\w-]){re.escape(near)}(?![\w-])")
        there = False
        for element in self._root.all():
            if not any(wanted.search(each) for each in (*element.texts, *element.given.values())):
                continue
            there = True
            around: _Element | None = element
            found: list[str] = []
            while around is not None and not found:
                found = find(around)
                around = around.above
            if len(found) == 1:
                return found[0]
        raise Unexpected(f"{near} has not {what} beside it, or several" if there else f"{near} is not on the page")


def in_location(answer: Answer, path: str) -> str:
    """The id in the address to which an answer leads; ``path`` as for a Page.

    Raises:
        Unexpected: the answer leads elsewhere.
    """
    found = _id(led_to(answer), path)
    if found is None:
        raise Unexpected(f"leads to {led_to(answer) or 'no other page'}, and not to {path}")
    return found


def led_to(answer: Answer) -> str:
    """The path with its query to which an answer leads, without the host; empty if it leads nowhere."""
    named = {name.lower(): value for name, value in answer.headers.items()}
    parts = urlsplit(named.get("location", ""))
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


class _Element:
    def __init__(self, tag: str, given: dict[str, str], above: _Element | None) -> None:
        self.tag = tag
        self.given = given
        self.above = above
        self.below: list[_Element] = []
        self.texts: list[str] = []

    def all(self) -> Iterator[_Element]:
        """Itself and all within it, as they are written. A page may be deeper than functions may call each other."""
        ahead = [self]
        while ahead:
            yield (element := ahead.pop())
            ahead += reversed(element.below)


class _Reader(HTMLParser):
    def __init__(self, path: str) -> None:
        super().__init__(convert_charrefs=True)
        self.root = _Element("", {}, None)
        self._at = self.root
        self._path = path

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in IMPLIED:
            self._end(*IMPLIED[tag])
        given = {name: value or "" for name, value in attrs}
        for name in LEADING & given.keys():
            with suppress(ValueError):  # no address
                given[name] = urljoin(self._path, given[name].strip())
        made = _Element(tag, given, self._at)
        self._at.below.append(made)
        if tag not in EMPTY:
            self._at = made

    def handle_endtag(self, tag: str) -> None:
        self._end({tag}, set())

    def handle_data(self, data: str) -> None:
        self._at.texts.append(data)

    def _end(self, tags: set[str], limits: set[str]) -> None:
        element: _Element | None = self._at
        while element is not None and element.tag not in limits:
            if element.tag in tags and element.above is not None:
                self._at = element.above
                return
            element = element.above


def _id(address: str, path: str) -> str | None:
    """What stands for {} there; a query and a host do not count."""
    before, _, after = path.partition(PLACE)
    try:
        found = urlsplit(address.strip()).path
    except ValueError:
        return None
    fits = found.startswith(before) and found.endswith(after) and len(found) > len(before) + len(after)
    id = found[len(before) : len(found) - len(after)] if fits else ""
    return unquote(id) if id and "/" not in id else None


def _ids(element: _Element, path: str) -> list[str]:
    found = (_id(value, path) for each in element.all() for value in each.given.values())
    return [*dict.fromkeys(id for id in found if id is not None)]


def _hidden(element: _Element, name: str) -> list[str]:
    return [
        each.given.get("value", "")
        for each in element.all()
        if each.tag == "input" and each.given.get("type") == "hidden" and each.given.get("name") == name
    ]


def _choices(element: _Element, name: str) -> Iterator[str]:
    for each in element.all():
        if each.given.get("name") != name:
            continue
        if each.tag == "select":
            yield from (one.given.get("value", "") for one in each.all() if one.tag == "option")
        elif each.given.get("type") in TICKED:
            yield each.given.get("value", "")
