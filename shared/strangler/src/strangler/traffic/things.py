"""What paths and bodies name by an id.

Note "things": a client may write only what it has made itself, for a row belongs to one client; it may read what a list
has shown. So a thing comes from the request that makes it, or from a list.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from strangler.domain.route import VARIABLE
from strangler.traffic.accounts import has_password
from strangler.traffic.known import Of, Request, Text, leaves, plain, results, singular
from strangler.traffic.steps import Thing

IDS = ("id", "uuid", "pk", "slug", "code", "key")
VERSION = re.compile(r"v\d+|api|rest")


def things_of(requests: Sequence[Request]) -> Iterator[Thing]:
    """All that some path or body could name."""
    items: dict[str, list[Request]] = {}
    for request in requests:
        for variable in VARIABLE.finditer(request.path):
            items.setdefault(plain(request.path[: variable.start()]), []).append(request)
    names: set[tuple[str, bool]] = set()
    for request in requests:
        thing = _shown(request) if request.shown else _thing(request, items)
        if thing is None:
            continue
        if (thing.name, thing.made) in names:
            thing.name = identifier("_".join([*filter(speaks, request.path.split("/"))][-2:]))
        names.add((thing.name, thing.made))
        thing.giver = request
        if not thing.shown:
            made = [row.table for each in requests if plain(each.path) == thing.path for row in each.rows or ()]
            thing.table = made[0] if len(set(made)) == 1 else ""
        yield thing


def _shown(request: Request) -> Thing | None:
    """What only a page shows, by an id in its paths or in the address to which the answer leads."""
    assert request.shown is not None
    fresh = any(isinstance(leaf, Text) for _, leaf in leaves(request.body))
    if request.writes and request.shown.kind != "location" and not fresh:
        request.doubts.append("a page shows what it makes, and nothing that was sent tells which of those on it")
        return None
    collection = request.shown.collection
    word = next((each for each in reversed(collection.split("/")) if speaks(each)), "things")
    staff = request.writes and request.access == "staff"
    thing = Thing(identifier(word), plain(collection), request.writes, "id", staff=staff, shown=request.shown)
    rows = [row for row in request.rows or () if request.shown.key in row.key.values()]
    thing.table = rows[0].table if rows else ""
    return thing


def _thing(request: Request, items: Mapping[str, Sequence[Request]]) -> Thing | None:
    """What the answer of a list, or of a request that makes something, shows."""
    makes = request.method == "POST" and not has_password(request)
    lists = request.method == "GET" and results(request.answer)[1] is not None
    if not makes and not lists:
        return None
    naming = items.get(plain(request.path), [])
    word = next((each for each in reversed(request.path.split("/")) if each and "{" not in each), "things")
    name = identifier(word)
    # An action: what it answers is no new thing of a collection.
    if makes and not naming and singular(name) == name:
        return None
    id_name = _id_name(request, naming)
    if id_name is None:
        return None
    shown = request.made if isinstance(request.made, dict) else {}
    refers = next((each for each in ("id", "pk", "uuid") if each in shown), id_name)
    return Thing(name, plain(request.path), makes, id_name, refers, staff=makes and request.access == "staff")


def _id_name(request: Request, naming: Sequence[Request]) -> str | None:
    """What the answer calls the id by which paths name the thing; empty if only a page tells that it was made."""
    shown = request.made
    if not isinstance(shown, dict):
        inserted = any(row.kind == "insert" for row in request.rows or ())
        return "" if request.answer is None and inserted else None
    named = [each.id_name for each in naming if each.id_name]
    called = [found[0].strip("{}") for each in naming if (found := VARIABLE.findall(each.path))]
    return next((name for name in [*named, *called, *IDS] if name in shown), None)


def on(request: Request, things: Sequence[Thing]) -> Thing | None:
    """The thing that the last variable of the path names."""
    last = [*VARIABLE.finditer(request.path)][-1]
    collection = plain(request.path[: last.start()])
    fitting = [each for each in things if each.path == collection and each.id_name]
    made = [each for each in fitting if each.made and (not each.staff or request.access == "staff")]
    return next(iter(made or ([] if request.writes else [each for each in fitting if not each.made])), None)


def named(leaf: Of, things: Sequence[Thing], *, staff: bool) -> Thing | None:
    """The thing whose id a field holds: of the table that its column refers to, or of the same name."""
    stem = singular(re.sub(r"(_id|Id|_uuid|_pk|_slug)$", "", leaf.word))
    stem = re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", stem).lower()
    tail = singular(leaf.table.rpartition("_")[2]) if leaf.table else stem
    usable = [each for each in things if each.id_name and (staff or not each.staff)]
    for fitting in (
        [each for each in usable if leaf.table and each.table == leaf.table],
        [each for each in usable if each.one in (stem, tail) or each.one.endswith(f"_{stem}")],
    ):
        if fitting:
            return min(fitting, key=lambda each: each.made)
    return None


def speaks(part: str) -> bool:
    """Whether a part of a path says what it is about."""
    return bool(part) and "{" not in part and not VERSION.fullmatch(part)


def identifier(text: str) -> str:
    """A name that Python takes."""
    found = re.sub(r"\W+", "_", text.lower()).strip("_")
    return found if found and not found[0].isdigit() else f"part_{found}"
