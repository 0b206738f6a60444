"""A route: which requests belong to a capability or a limit, and what they may do.

Note "two spellings": a process sees a path decoded, and a gateway sees it as it was written. A client may escape
whatever it likes (``/caf%C3%A9``, ``/a%3Ab``, ``/a%2Fb``). A route is kept decoded, and has one pattern for each of the
two: a request matches one pattern exactly if it matches the other, however it is written.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

VARIABLE = re.compile(r"\{[a-z_]+\}")
# Gateways decode these before they match a path; see RFC 3986, 6.2.2.2.
_UNRESERVED = re.compile(r"[A-Za-z0-9._~/-]+")
_SLASH = "(?:/|%2[Ff])"
# One or more signs, none of them a slash in either spelling. A % that begins no escape stands for itself.
_SEGMENT = "(?:(?:[^/%]|%(?:2?%)*(?:[^/%2]|2[^/%Ff]))+(?:%(?:2?%)*2?)?|%(?:2?%)*2?)"


@dataclass(frozen=True, slots=True)
class Route:
    """Methods and a path template: ``GET,POST /api/v1/books/{id}``; ``*`` as methods is any method,
    ``{name}`` is one segment, a final ``*`` is anything that follows.

    With ``auth`` each request needs a token. An answer must be complete after ``timeout`` seconds (0: no limit);
    ``max_body`` is the largest body in bytes. Where one of the two is None, the gateway's own limit holds.
    """

    methods: frozenset[str]
    path: str
    timeout: float | None = None
    max_body: int | None = None
    auth: bool = False

    @property
    def pattern(self) -> str:
        """A regular expression (RE2 and Python) that matches the whole path, decoded."""
        return self._expression(re.escape, "[^/]+")

    @property
    def written_pattern(self) -> str:
        """The same for the path as a request writes it; see the note "two spellings"."""
        return self._expression(_written, _SEGMENT)

    @property
    def is_plain(self) -> bool:
        """Whether the path stands for itself, apart from a final star: in either spelling, apart from slashes."""
        return _UNRESERVED.fullmatch(self.path.removesuffix("*")) is not None

    @property
    def has_one_spelling(self) -> bool:
        """Whether gateways see the path as it is, however it was written: nobody can escape the slash at the
        beginning."""
        return self.is_plain and "/" not in self.path.removesuffix("*")[1:]

    @property
    def asked(self) -> frozenset[str]:
        """The methods, empty for any; a route that answers GET answers HEAD."""
        return self.methods | {"HEAD"} if "GET" in self.methods else self.methods

    def __str__(self) -> str:
        return f"{','.join(sorted(self.methods)) or '*'} {self.path}"

    def _expression(self, literal: Callable[[str], str], variable: str) -> str:
        stem, star = (self.path[:-1], ".*") if self.path.endswith("*") else (self.path, "")
        return "/" + variable.join(literal(part) for part in VARIABLE.split(stem[1:])) + star


def covers(one: Route, other: Route) -> bool:
    """Whether every request that matches ``other`` also matches ``one``; False where it is in doubt."""
    if one.methods and (not other.methods or not other.asked <= one.asked):
        return False
    if one.path == other.path:
        return True
    if one.path.endswith("*") and "{" not in one.path:
        return other.path.startswith(one.path[:-1])
    mine, theirs = one.path.split("/"), other.path.split("/")
    return (
        len(mine) == len(theirs)
        and not theirs[-1].endswith("*")
        and all(VARIABLE.fullmatch(m) or m == t for m, t in zip(mine, theirs, strict=True))
    )


def overlapping(one: Route, other: Route) -> bool:
    """Whether some request could match both; two templates in the same segment count as a match."""
    if one.methods and other.methods and not one.asked & other.asked:
        return False
    return _paths_meet(one.path.split("/"), other.path.split("/"))


def _written(text: str) -> str:
    return "".join(_SLASH if char == "/" else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    """A pattern for the character or its escape; characters outside ASCII come only escaped."""
    if _UNRESERVED.fullmatch(char):
        return re.escape(char)
    escape = f"(?i:{quote(char, safe='')})"
    return f"(?:{re.escape(char)}|{escape})" if char.isascii() else escape


def _paths_meet(one: list[str], other: list[str]) -> bool:
    for mine, theirs in zip(one, other, strict=False):
        if mine.endswith("*") or theirs.endswith("*"):
            return _prefixes_meet(mine, theirs)
        if not _segments_meet(mine, theirs):
            return False
    return len(one) == len(other)


def _prefixes_meet(one: str, other: str) -> bool:
    if "{" in one + other:
        return True
    stems = one.removesuffix("*"), other.removesuffix("*")
    if one.endswith("*") and other.endswith("*"):
        return stems[0].startswith(stems[1]) or stems[1].startswith(stems[0])
    open_stem, whole = stems if one.endswith("*") else stems[::-1]
    return whole.startswith(open_stem)


def _segments_meet(one: str, other: str) -> bool:
    if "{" in one and "{" in other:
        return True
    template, literal = (one, other) if "{" in one else (other, one)
    pattern = "[^/]+".join(re.escape(part) for part in VARIABLE.split(template))
    return re.fullmatch(pattern, literal) is not None
