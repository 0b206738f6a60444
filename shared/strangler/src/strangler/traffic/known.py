"""What is known of a project's requests, wherever it comes from.

A body is a tree of JSON values in which some leaves stand for what only a client can fill in: `Text`, `Secret`, `Kept`,
`Of`, `Offered`, `Open` and `Unknown`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from strangler.domain.project import Project
from strangler.domain.route import VARIABLE

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
# As many characters as `Visit.new` needs beside its word.
ROOM = 20
# A text that is shorter may be in a column by chance.
TELLING = 3
SECRET = re.compile(r"passw|passphrase|secret|token|api_?key|csrf|otp|cvv|signature", re.IGNORECASE)
PASSWORD = re.compile(r"passw|passphrase", re.IGNORECASE)
IRREGULAR = {
    "children": "child",
    "people": "person",
    "men": "man",
    "women": "woman",
    "news": "news",
    "series": "series",
}
IDENTITIES = ("email", "username", "login", "user_name")


@dataclass(frozen=True, slots=True)
class Text:
    """A text that nobody sends twice, of at most ``limit`` characters; ``form`` is text, email or uuid."""

    word: str
    limit: int | None = None
    form: str = "text"


@dataclass(frozen=True, slots=True)
class Secret:
    """A password: never that of the source, but the made-up account's."""

    name: str


@dataclass(frozen=True, slots=True)
class Kept:
    """What the answer of the login has under this name, such as a refresh token."""

    name: str


@dataclass(frozen=True, slots=True)
class Of:
    """The id of something that an earlier answer has shown; ``word`` is what the field calls it, and ``table`` the one
    that its column refers to, if that is known."""

    word: str
    table: str = ""


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nobody can tell what belongs here."""

    why: str


@dataclass(frozen=True, slots=True)
class Open:
    """What a person has to decide, as ``name`` of the file. The request is drafted, and refused until then."""

    question: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Offered:
    """What the form holds on its page under this name: ``kind`` is hidden or choices."""

    name: str
    kind: str


@dataclass(frozen=True, slots=True)
class Shown:
    """Where a page has the id of something: ``kind`` is location, link or hidden. ``pattern`` is a path with ``{}``, or
    the name of the field; ``page`` is the path of the page, empty for the one to which the answer leads; ``collection``
    is the beginning of the paths that have the id, and ``key`` the id that was seen."""

    kind: str
    pattern: str
    page: str
    collection: str
    key: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """What a request did to one row: ``kind`` is insert, update or delete. ``values`` are the columns as text, for an
    update only those that changed; None stands for NULL."""

    table: str
    kind: str
    key: Mapping[str, str | None]
    values: Mapping[str, str | None]


@dataclass(slots=True)
class Request:
    """One method of one path. ``body`` is None where there is none; ``unknown_body`` where only the source does not
    say. ``access`` is "" (anybody), "account" or "staff". ``answer`` is an example; ``shown`` is where a page has
    the id instead. ``rows`` are None where nobody has looked, and ``count`` says how often it was seen."""

    method: str
    path: str
    expected: Sequence[int] = (200,)
    body: Any = None
    form: bool = False
    unknown_body: bool = False
    headers: Mapping[str, Any] = field(default_factory=dict)
    query: str = ""
    access: str = ""
    answer: Any = None
    count: int = 1
    rows: Sequence[Row] | None = None
    sent: Any = None  # the body as it was, where a recording has it
    sent_headers: Mapping[str, str] = field(default_factory=dict)
    id_name: str | None = None
    shown: Shown | None = None
    form_page: str = ""  # where the form is whose fields are sent
    goes_on: bool = False  # after it, something else is done to the same thing
    named: str | None = None  # the id in its path, as it was seen
    capability: str = ""
    doubts: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def writes(self) -> bool:
        return self.method not in SAFE

    @property
    def shape(self) -> tuple[str, str]:
        """Equal for two spellings of one request: names of variables do not count."""
        return self.method, plain(self.path)

    @property
    def made(self) -> Any:
        """What the answer shows: itself, or the first thing of a list; None if there is none."""
        held = results(self.answer)[1]
        return held[0] if held else self.answer if isinstance(self.answer, dict) else None


@dataclass(frozen=True, slots=True)
class Column:
    """``unique``: alone under a unique constraint or key. ``kind`` is text, number, boolean or other."""

    kind: str
    unique: bool = False
    limit: int | None = None
    choices: bool = False


@dataclass(frozen=True, slots=True)
class Shape:
    """A table: its columns, its key, and the tables that its foreign keys point at, each with what a deletion there
    does here (empty where it is not known)."""

    columns: Mapping[str, Column]
    key: str | None = None
    parents: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # column: (table, on_delete)


@dataclass(frozen=True, slots=True)
class Known:
    """All of it. ``unsteady`` are the columns by table that requests have changed to what they did not send, such as a
    stock or a state: what was written there does not stay. ``scheme`` is the word before a token, empty for sessions
    and None where nobody knows; ``login`` is the page at which a session begins."""

    source: str
    requests: Sequence[Request]
    tables: Mapping[str, Shape] = field(default_factory=dict)
    unsteady: Mapping[str, Set[str]] = field(default_factory=dict)
    scheme: str | None = None
    header: str = "Authorization"
    login: str = ""
    notes: Sequence[str] = ()


def plain(path: str) -> str:
    """The path with one name for all variables, and without a slash at its end."""
    return VARIABLE.sub("{}", path).rstrip("/") or "/"


def capability_of(project: Project, method: str, path: str) -> str:
    """The capability whose route takes such a request; empty if none does."""
    probe = VARIABLE.sub("1", path)
    for name, capability in project.capabilities.items():
        for route in capability.routes:
            if (not route.methods or method in route.asked) and re.fullmatch(route.pattern, probe):
                return name
    return ""


def needs_token(project: Project, method: str, path: str) -> bool:
    """Whether the gateway lets such a request pass only with a token."""
    probe = VARIABLE.sub("1", path)
    routes = [route for each in project.capabilities.values() for route in each.routes]
    return any(
        route.auth and (not route.methods or method in route.asked) and re.fullmatch(route.pattern, probe)
        for route in [*routes, *project.gateway.routes]
    )


def templates(project: Project) -> Callable[[str, str], str | None]:
    """Gives for a method and a path that of the route which takes the request, with its variables; None if none does or
    it ends with a star."""
    routes = [
        (route.asked, re.compile(route.pattern), None if route.path.endswith("*") else route.path)
        for capability in project.capabilities.values()
        for route in capability.routes
    ]

    def find(method: str, path: str) -> str | None:
        fitting = (
            found for asked, pattern, found in routes if (not asked or method in asked) and pattern.fullmatch(path)
        )
        return next(fitting, None)

    return find


def results(answer: Any) -> tuple[str | None, list[Any] | None]:
    """Where an answer has its list (None: it is the list itself) and the list; nothing if it has none."""
    if isinstance(answer, list):
        return None, answer
    if isinstance(answer, dict):
        lists = {name: value for name, value in answer.items() if isinstance(value, list)}
        name = next((name for name in ("results", "data", "items", "objects") if name in lists), None)
        if name is None and len(answer) == 1 and lists:
            name = next(iter(lists))
        if name is not None:
            return name, lists[name]
    return None, None


def leaves(tree: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Each leaf of a body with its place."""
    if isinstance(tree, dict):
        for name, value in tree.items():
            yield from leaves(value, (*path, name))
    elif isinstance(tree, list):
        for number, value in enumerate(tree):
            yield from leaves(value, (*path, number))
    else:
        yield path, tree


def column_with(
    value: str, name: str, rows: Sequence[Row], tables: Mapping[str, Shape]
) -> tuple[tuple[str, str], Column] | None:
    """The table and the column of texts that alone has a text which was sent under a name that no column has."""
    found: dict[tuple[str, str], Column] = {}
    for row in rows:
        shape = tables.get(row.table)
        if shape is None or len(value) < TELLING:
            continue
        if name in shape.columns or f"{name}_id" in shape.columns:
            return None
        for column, left in row.values.items():
            if left == value and column in shape.columns:
                found[row.table, column] = shape.columns[column]
    if len(found) != 1:
        return None
    ((place, only),) = found.items()
    return (place, only) if only.kind == "text" else None


def singular(word: str) -> str:
    """``categories`` → ``category``; a word that is none already stays as it is."""
    word = word.lower().replace("-", "_")
    stem, _, last = word.rpartition("_")
    if last in IRREGULAR:
        return f"{stem}_{IRREGULAR[last]}".removeprefix("_")
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "xes", "ches", "shes")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith(("ss", "us", "is")) else word
