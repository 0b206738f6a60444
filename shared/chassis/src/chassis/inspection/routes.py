"""Routes of strangler.toml as the tool means them, and paths that show what a route or a URL pattern matches.

Once a move exists, the database has each route as a regular expression that the tool has made. Before, the text is all
there is; it is read here in the same way.
"""

from __future__ import annotations

import re
from collections.abc import Set
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
VARIABLE = re.compile(r"\{[a-z_]+\}")
_ROUTE = re.compile(r"(?P<methods>\*|[A-Z]+(?:,[A-Z]+)*) (?P<path>/\S*)")
_PATH = re.compile(r"(?:[^{}*]|\{[a-z_]+\})*\*?")


class RouteError(Exception):
    """The text is no route; it says why."""


@dataclass(frozen=True, slots=True)
class Route:
    """Methods (none: any) and a path template, as ``GET,POST /api/books/{id}``."""

    methods: Set[str]
    path: str

    @classmethod
    def parse(cls, text: str) -> Route:
        """The route that the text writes. Raises RouteError."""
        match = _ROUTE.fullmatch(text)
        if match is None or _PATH.fullmatch(match["path"]) is None:
            raise RouteError(f"{text!r} is not a route")
        methods = frozenset() if match["methods"] == "*" else frozenset(match["methods"].split(","))
        if unknown := sorted(methods - set(METHODS)):
            raise RouteError(f"{text!r} has a method that is none: {', '.join(unknown)}")
        try:
            path = unquote_to_bytes(match["path"]).decode()
        except UnicodeDecodeError as error:
            raise RouteError(f"the escapes of {text!r} are no UTF-8") from error
        return cls(methods, path)

    @property
    def pattern(self) -> str:
        """A regular expression that matches the whole path, decoded."""
        stem, star = (self.path[:-1], ".*") if self.path.endswith("*") else (self.path, "")
        return "/" + "[^/]+".join(re.escape(part) for part in VARIABLE.split(stem[1:])) + star

    @property
    def asked(self) -> Set[str]:
        """The methods that it answers; all where it names none. One that answers GET answers HEAD."""
        if not self.methods:
            return frozenset(METHODS)
        return self.methods | {"HEAD"} if "GET" in self.methods else self.methods

    def covers(self, method: str, path: str) -> bool:
        """Whether a request with this method and decoded path belongs to the route."""
        return method in self.asked and self.matches(path)

    def matches(self, path: str) -> bool:
        """Whether the path is the route's, whatever the method."""
        return re.fullmatch(self.pattern, path, re.DOTALL) is not None

    def meets(self, template: str) -> bool:
        """Whether some path could be the route's and also the template's, whose variables are written ``{}``.

        A variable of either stands for any text in its segment.
        """
        mine, theirs = VARIABLE.sub("{}", self.path).split("/"), template.split("/")
        for one, other in zip(mine, theirs, strict=False):
            if one.endswith("*") or other.endswith("*"):
                return _meet(one, other)
            if not _meet(one, other):
                return False
        return len(mine) == len(theirs)

    def __str__(self) -> str:
        return f"{','.join(sorted(self.methods)) or '*'} {self.path}"


def _meet(one: str, other: str) -> bool:
    """Whether two segments can be the same text. Where both have variables they may be."""
    if _is_open(one) and _is_open(other):
        return True
    if _is_open(one) or _is_open(other):
        template, whole = (one, other) if _is_open(one) else (other, one)
        return _pattern(template).fullmatch(whole) is not None
    return one == other


def _is_open(segment: str) -> bool:
    return "{}" in segment or segment.endswith("*")


def _pattern(segment: str) -> re.Pattern[str]:
    stem, star = (segment[:-1], ".*") if segment.endswith("*") else (segment, "")
    return re.compile(".+".join(re.escape(part) for part in stem.split("{}")) + star, re.DOTALL)
