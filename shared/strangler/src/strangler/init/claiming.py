"""Which requests belong to which candidate: those that write its tables, and those of its views that write nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field

from strangler.adapters import toml_routes
from strangler.adapters.toml_section import Section
from strangler.domain.errors import ConfigurationError
from strangler.domain.project import CLOSED, PEERS
from strangler.domain.route import Route, covers, overlapping
from strangler.init.described import Described, Request

MOST_SHOWN = 4

Owner = Callable[[str], str | None]
"""The candidate that has a table."""


@dataclass(slots=True)
class Claim:
    """A route of a candidate, the place of its view, and what a person should look at. One with a ``refusal`` cannot
    stand in the file."""

    text: str
    route: Route | None
    places: list[str]
    doubts: list[str] = field(default_factory=list)
    refusal: str = ""
    writes: bool = False


def claims(described: Described, owner: Owner, apps: Mapping[str, str]) -> dict[str, list[Claim]]:
    """By candidate its routes, the narrower ones first, as `strangler.toml` takes them."""
    found: dict[tuple[str, str], list[tuple[Request, list[str], list[str]]]] = {}
    left: list[Route] = []
    own = {label for label, app in described.apps.items() if app.own}
    staying = frozenset(one.name for one in described.tables if one.app in own and owner(one.name) is None)
    for request in described.requests:
        owned = list(_owned(request, owner, apps, staying))
        for name, methods, doubts in owned:
            found.setdefault((name, request.path), []).append((request, methods, doubts))
        taken = {method for _, methods, _ in owned for method in methods or request.writes}
        for method in request.writes:
            left += [] if method in taken else _routes(f"{method} {request.path}")
    made: dict[str, list[Claim]] = {}
    for (name, path), several in found.items():
        made.setdefault(name, []).append(_claim(path, several))
    _refuse_overlaps(made)
    _tell_what_they_take(made, left)
    return {name: _told_apart(sorted(each, key=_breadth)) for name, each in made.items()}


def _owned(
    request: Request, owner: Owner, apps: Mapping[str, str], staying: Set[str]
) -> Iterator[tuple[str, list[str], list[str]]]:
    """The candidates that have the request, each with the methods; no methods are all."""
    methods = list(request.writes)
    # A function decides by itself what a method does, so that what it writes for one it may write for each.
    parts = [[method] for method in methods] if request.split else [methods]
    writers = [_writer(request, part, owner, apps) for part in parts]
    reader = _reader(request, owner, apps, staying, [name for name, _ in writers if name])
    shared: dict[str, tuple[list[str], list[str]]] = {}
    for part, (writer, doubts) in zip(parts, writers, strict=True):
        name = writer or reader
        if name is not None:
            taken, known = shared.setdefault(name, ([], []))
            taken += part
            known += [doubt for doubt in doubts if doubt not in known]
    for name, (taken, doubts) in shared.items():
        yield name, [] if request.any and len(taken) == len(methods) else taken, [*request.doubts, *doubts]


def _writer(
    request: Request, methods: Sequence[str], owner: Owner, apps: Mapping[str, str]
) -> tuple[str | None, list[str]]:
    """The candidate whose tables the methods write, and why that is in doubt; none where they write nothing that
    moves."""
    at_home = apps.get(request.app or "")
    tables = list(dict.fromkeys(table for method in methods for table in request.writes[method]))
    written = Counter(name for table in tables if (name := owner(table)))
    if not written:
        return None, []
    first = at_home if at_home in written else written.most_common(1)[0][0]
    doubts = [] if at_home in (None, first) else [f"its view is in {request.app}, and writes {first}"]
    others = [name for name in written if name != first]
    if others:
        doubts.append(f"it also writes {_several(others, tables, owner)}")
    return first, doubts


def _reader(
    request: Request, owner: Owner, apps: Mapping[str, str], staying: Set[str], writers: Sequence[str]
) -> str | None:
    """The candidate of the methods that write nothing: the view's own, that of its other methods, or the only one that
    it reads. What reads several, or tables of the project that stay, is nobody's, for it goes on reading the copy."""
    tables = {table for tables in request.reads.values() for table in tables}
    read = {name for table in tables if (name := owner(table))}
    return (
        apps.get(request.app or "")
        or next(iter(writers), None)
        or (owner(request.model) if request.model else None)
        or (read.pop() if len(read) == 1 and not tables & staying else None)
    )


def _several(names: Sequence[str], tables: Sequence[str], owner: Owner) -> str:
    written = {name: [table for table in tables if owner(table) == name] for name in names}
    return " and ".join(f"{name} ({', '.join(tables)})" for name, tables in written.items())


def _claim(path: str, several: Sequence[tuple[Request, list[str], list[str]]]) -> Claim:
    every = any(not methods for _, methods, _ in several)
    methods = [] if every else list(dict.fromkeys(one for _, methods, _ in several for one in methods))
    text = f"{','.join(methods) or '*'} {path}"
    doubts = list(dict.fromkeys(doubt for _, _, doubts in several for doubt in doubts))
    claim = Claim(text, None, list(dict.fromkeys(request.place for request, _, _ in several)), doubts)
    claim.writes = any(tables for request, _, _ in several for tables in request.writes.values())
    try:
        (claim.route,) = _read(text)
    except ConfigurationError as error:
        claim.refusal = error.message
        return claim
    closed = next((one for one in CLOSED if path == one or path.startswith(f"{one}/")), None)
    if closed:
        opened = "" if closed == PEERS else f'; with open = ["{closed}/*"] in [gateway] it could be named'
        claim.refusal = f"the gateway closes {closed}{opened}"
    return claim


def _read(text: str) -> list[Route]:
    return toml_routes.read(Section({"routes": [text]}, label=""), "routes")


def _routes(text: str) -> list[Route]:
    try:
        return _read(text)
    except ConfigurationError:
        return []


def _breadth(claim: Claim) -> tuple[bool, int, int]:
    """How much it takes, for the narrower route has to come first."""
    path = claim.text.partition(" ")[2]
    return path.endswith("*"), path.count("{"), -path.count("/") if path.endswith("*") else 0


def _takes_any(claim: Claim) -> bool:
    """Whether no segment of its path is fixed."""
    segments = claim.text.partition(" ")[2].strip("/").split("/")
    return all("{" in segment or segment.endswith("*") for segment in segments)


def _refuse_overlaps(made: Mapping[str, list[Claim]]) -> None:
    """A request belongs to one capability: of two routes that could both take it, one must be narrowed. That is one
    that writes nothing, or else the broader one."""
    all_claims = [(name, claim) for name, each in made.items() for claim in each if not claim.refusal]
    all_claims.sort(key=lambda pair: (not pair[1].writes, _takes_any(pair[1]), _breadth(pair[1])))
    taken: list[tuple[str, Claim]] = []
    for name, claim in all_claims:
        clash = next((pair for pair in taken if pair[0] != name and _overlap(claim, pair[1])), None)
        if clash is None:
            taken.append((name, claim))
        else:
            claim.refusal = f'it could also be "{clash[1].text}" of {clash[0]}: narrow it'


def _tell_what_they_take(made: Mapping[str, list[Claim]], left: Sequence[Route]) -> None:
    """A variable stands for whatever is in its place, so that a route can take requests that are no candidate's."""
    for claim in (claim for each in made.values() for claim in each if not claim.refusal):
        also: dict[str, list[str]] = {}
        for one in left:
            if claim.route is not None and covers(claim.route, one):
                also.setdefault(one.path, []).extend(one.methods)
        shown = [f"{','.join(methods)} {path}" for path, methods in also.items()]
        if more := len(shown[MOST_SHOWN:]):
            shown[MOST_SHOWN:] = [f"{more} more"]
        if shown:
            claim.doubts.append(
                f"it also takes {', '.join(shown)}, which no capability has: the service must answer it, too"
            )


def _overlap(one: Claim, other: Claim) -> bool:
    return one.route is not None and other.route is not None and overlapping(one.route, other.route)


def _told_apart(ordered: Sequence[Claim]) -> list[Claim]:
    """Without those that an earlier one of the same candidate takes whole."""
    kept: list[Claim] = []
    for claim in ordered:
        earlier = [one.route for one in kept if one.route is not None and not one.refusal]
        if claim.route is None or claim.refusal or not any(covers(one, claim.route) for one in earlier):
            kept.append(claim)
    return kept
