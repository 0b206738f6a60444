"""Routes in ``strangler.toml``, and their limits; a route that no request can match is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import unquote_to_bytes

from strangler.adapters.toml_section import Section
from strangler.domain.errors import ConfigurationError
from strangler.domain.project import ADMIN, CLOSED, OPENABLE, PEERS, Gateway, Project
from strangler.domain.route import Route, covers, overlapping

METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})

_ROUTE = re.compile(r"(?P<methods>\*|[A-Z]+(?:,[A-Z]+)*) (?P<path>/\S*)")
_PATH = re.compile(r"(?:[^{}*]|\{[a-z_]+\})*\*?")
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_BODY = re.compile(r"(?P<number>[1-9][0-9]{0,8})(?P<unit>|KiB|MiB|GiB)")
_BYTES = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_TIME = re.compile(r"(?P<number>[1-9][0-9]{0,4})(?P<unit>s|m|h)")
_SECONDS = {"s": 1, "m": 60, "h": 3600}
NO_LIMIT = "none"
REQUIRED = "required"
AUTH = (REQUIRED, "none")

Place = tuple[str, Route]
"""The place where a route is written, and the route."""


def read(part: Section, key: str, *, required: bool = True) -> list[Route]:
    """The routes at ``key``, each a text or a table with limits."""
    return [
        _route(part, f"{key}[{index}]", entry) if isinstance(entry, str) else _limited(entry)
        for index, entry in enumerate(part.entries(key, required=required))
    ]


def max_body(part: Section) -> int | None:
    """The key ``max_body``, ``"64MiB"``, in bytes."""
    text = part.optional_text("max_body")
    if text is None:
        return None
    match = _BODY.fullmatch(text)
    if match is None:
        raise part.error(f"{text!r} is not a size", key="max_body", remedy='write "500KiB", "64MiB" or "1GiB"')
    return int(match["number"]) * _BYTES[match["unit"]]


def doors(part: Section) -> dict[str, Any]:
    """Paths that nobody reaches through the gateway: the default ones and those in ``closed``; and those in
    ``internal``, which nobody reaches from outside. ``opened`` are those of the default and of the internal ones that
    are reached all the same; with the admin, its files."""
    opened, more, internal = (_paths(part, key) for key in ("open", "closed", "internal"))
    for index, path in enumerate(opened):
        if path not in (*OPENABLE, *internal):
            known = ", ".join(dict.fromkeys((*OPENABLE, *internal)))
            raise part.error(
                f"{path} is not closed",
                key=f"open[{index}]",
                remedy=f"closed by themselves, or internal, are {known}; take out of `closed` what you have put there",
            )
    if ADMIN[0] in opened:
        opened = list(dict.fromkeys((*opened, *(path for path in ADMIN if path not in more))))
    closed = [path for path in dict.fromkeys((*CLOSED, *more)) if path not in opened]
    for index, path in enumerate(internal):
        if around := next((each for each in closed if _is_below(path, each)), None):
            raise part.error(
                f"{path} is closed, as {around} is: nobody could ask there, within the project neither",
                key=f"internal[{index}]",
                remedy=f"take {around} out of `closed`, or name another path",
            )
    return {"closed": tuple(closed), "internal": tuple(internal), "opened": tuple(opened)}


def _paths(part: Section, key: str) -> list[str]:
    return [_plain(part, key, index, text) for index, text in enumerate(part.texts(key, []))]


def _is_below(path: str, other: str) -> bool:
    return path == other or path.startswith(f"{other}/")


def check(project: Project, label: str) -> None:
    """Raises ConfigurationError for a route that never matches because of another, that two capabilities claim, or that
    needs a token which nobody issues; for an internal path that is on no route; and for keys at a closed path."""
    places = list(_places(project))
    _check_internal(project.gateway, places, label)
    _check_keys(project.gateway, label)
    for position, (place, route) in enumerate(places):
        if route.auth and not project.gateway.issuers:
            raise ConfigurationError(
                f'"{route}" needs a token, and nobody issues any',
                place=f"{label}: {place}",
                remedy="name who does: [gateway.tokens.NAME] with jwks, the path or address of the public keys",
                id="routes-conflict",
            )
        for other_place, other in places[:position]:
            _check_pair(f"{label}: {place}", route, other_place, other)
        for path in project.gateway.closed:
            if any(covers(each, route) for each in _all_of(path)):
                raise ConfigurationError(
                    f'"{route}" is closed at the gateway: no request can come to it',
                    place=f"{label}: {place}",
                    remedy=_opening(path),
                    id="routes-conflict",
                )


def _opening(path: str) -> str:
    if path == PEERS:
        return "take the route away: below this path the two sides of a move ask each other"
    return f'write open = ["{path}"] in [gateway], or take the route away'


def _check_internal(gateway: Gateway, places: Sequence[Place], label: str) -> None:
    for index, path in enumerate(gateway.internal):
        below = [(place, route) for place, route in places if any(overlapping(each, route) for each in _all_of(path))]
        if not below:
            raise ConfigurationError(
                f"{path} is on no route: if it is misspelt, what is meant is open to everybody",
                place=f"{label}: gateway.internal[{index}]",
                remedy=f'write it as the routes do; for a path of no capability add route = "* {path}/*" under '
                "[[gateway.routes]]",
                id="routes-conflict",
            )
        for place, route in below:
            if route.auth and path in gateway.hidden:
                raise ConfigurationError(
                    f'"{route}" needs a token of an account, and {path} is internal: no account can come there',
                    place=f"{label}: {place}",
                    remedy="take auth away: the process verifies who calls; or take the path out of `internal`",
                    id="routes-conflict",
                )


def _check_keys(gateway: Gateway, label: str) -> None:
    for issuer in gateway.issuers:
        closed = next((each for each in gateway.closed if issuer.is_here and _is_below(issuer.jwks, each)), None)
        if closed:
            raise ConfigurationError(
                f"{issuer.jwks} is closed, as {closed} is: the gateway gets no keys, and answers each token with 503",
                place=f"{label}: gateway.tokens.{issuer.name}.jwks",
                remedy="name a path that is open or internal",
                id="routes-conflict",
            )


def _all_of(path: str) -> tuple[Route, Route]:
    return Route(frozenset(), path), Route(frozenset(), f"{path}/*")


def _places(project: Project) -> Iterator[Place]:
    for capability in project.capabilities.values():
        for index, route in enumerate(capability.routes):
            yield f"capabilities.{capability.name}.routes[{index}]", route
    for index, route in enumerate(project.gateway.routes):
        yield f"gateway.routes[{index}]", route


def _check_pair(place: str, route: Route, other_place: str, other: Route) -> None:
    ours, theirs = place.partition(": ")[2].rpartition(".")[0], other_place.rpartition(".")[0]
    capabilities = ours.startswith("capabilities.") and theirs.startswith("capabilities.")
    if ours != theirs and capabilities and overlapping(route, other):
        raise ConfigurationError(
            f'"{route}" overlaps "{other}" at {other_place}',
            place=place,
            remedy="a request belongs to one capability: narrow one of the two",
            id="routes-conflict",
        )
    if covers(other, route):
        raise ConfigurationError(
            f'"{route}" can never match: "{other}" at {other_place} comes first and takes all of it',
            place=place,
            remedy="put the narrower route first, or take one away" if ours == theirs else "give that one the limits",
            id="routes-conflict",
        )


def _limited(part: Section) -> Route:
    route = _route(part, "route", part.text("route"))
    auth = part.one_of("auth", AUTH, required=False) == REQUIRED
    limited = Route(route.methods, route.path, timeout=_timeout(part), max_body=max_body(part), auth=auth)
    part.close()
    return limited


def _timeout(part: Section) -> float | None:
    if part.optional_text("timeout") == NO_LIMIT:
        return 0
    return seconds(part, "timeout", "a time limit", f' or "{NO_LIMIT}"')


def seconds(part: Section, key: str, what: str, otherwise: str = "") -> int | None:
    """The key as seconds, ``"10m"``; None if it is not there."""
    text = part.optional_text(key)
    if text is None:
        return None
    match = _TIME.fullmatch(text)
    if match is None or int(match["number"]) * _SECONDS[match["unit"]] > 24 * 3600:
        raise part.error(
            f"{text!r} is not {what}", key=key, remedy=f'write "90s", "10m", "2h" (a day at most){otherwise}'
        )
    return int(match["number"]) * _SECONDS[match["unit"]]


def _route(part: Section, key: str, text: str) -> Route:
    match = _ROUTE.fullmatch(text)
    if not match or not _PATH.fullmatch(match["path"]):
        raise part.error(
            f"{text!r} is not a route",
            key=key,
            remedy='write methods and a path: "GET,POST /api/things/{id}", "* /api/things/*"; methods in capitals, '
            "variables of lower-case letters and _, a star only at the end",
        )
    methods = frozenset() if match["methods"] == "*" else frozenset(match["methods"].split(","))
    for method in sorted(methods - METHODS):
        raise part.error(
            f"{method} is not a method",
            key=key,
            remedy=f"use {', '.join(sorted(METHODS))}, or *",
        )
    return Route(methods=methods, path=_decoded(part, key, match["path"]))


def _decoded(part: Section, key: str, written: str) -> str:
    """The path as a process sees it; see the note "two spellings"."""
    if problem := _problem(written):
        raise part.error(f"no request has the path {written!r}: {problem[0]}", key=key, remedy=problem[1])
    return unquote_to_bytes(written).decode()


def _problem(written: str) -> tuple[str, str] | None:
    """Why a path can never match, and what to write."""
    try:
        path = unquote_to_bytes(written).decode()
    except UnicodeDecodeError:
        return "its escapes are no UTF-8", "write the characters themselves"
    problems = [
        (set(written) & set("?#"), "a query and a fragment are no part of it", "write the path alone"),
        ("\\" in written, "gateways turn \\ into /", "write /"),
        (_BROKEN_ESCAPE.search(written), "% stands alone in it", "write %25"),
        (
            any(path.count(sign) != written.count(sign) for sign in "/{}*?#\\%" if sign != "%" or sign in path),
            "an escape stands for a sign that has a meaning here",
            "match it by a variable, {name}, or by a star at the end",
        ),
        (
            any(ord(char) < 33 or ord(char) == 127 for char in path),
            "a blank or control character is in it",
            "match it by {name}",
        ),
        ({".", ".."} & set(path.split("/")), "gateways resolve . and ..", "write the path they lead to"),
        ("//" in path, "nobody asks for a path with //", "write /"),
    ]
    return next(((why, remedy) for found, why, remedy in problems if found), None)


def _plain(part: Section, key: str, index: int, text: str) -> str:
    """A path without a star at its end, for the paths below it always belong to it."""
    path = text.removesuffix("*").rstrip("/")
    if not path.startswith("/") or "{" in path or "*" in path or not path.isascii() or _problem(path):
        raise part.error(f"{text!r} is not a path", key=f"{key}[{index}]", remedy='write it like "/admin/*"')
    return path
