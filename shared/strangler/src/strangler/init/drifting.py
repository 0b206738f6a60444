"""Compares an existing file with the project: what has come since, and stands nowhere in it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from fnmatch import fnmatchcase

from strangler.domain.findings import Finding, Severity
from strangler.domain.project import Project
from strangler.domain.route import Route, covers
from strangler.init.claiming import Claim, claims
from strangler.init.described import Described
from strangler.init.drafting import into

METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})


def drift(described: Described, project: Project, text: str) -> list[Finding]:
    """What the file, of which ``text`` is the content, does not know; what a comment of it names has been decided."""
    return [*_tables(described, project), *_references(described, project), *_routes(described, project, text)]


def _tables(described: Described, project: Project) -> Iterator[Finding]:
    moving = {table for each in project.capabilities.values() for table in each.tables}
    for table in (*(one.name for one in described.tables), *described.unmodelled):
        if table not in moving and not any(fnmatchcase(table, pattern) for pattern in project.stays):
            found = described.table(table)
            yield _drifted(
                f"the table {table}" + (f" ({found.model})" if found and found.model else ""),
                found.place if found else "",
                "name it under the tables of a capability, or under `stays`",
            )
    present = {one.name for one in described.tables}
    for name, capability in project.capabilities.items():
        for table in capability.tables:
            if table not in present and table not in described.unmodelled:
                yield Finding(
                    "file-behind", Severity.WARNING, f"capabilities.{name}.tables",
                    f"no model of this project has the table {table}",
                    "take it out, if it has gone; nothing to do, if its app has moved away or it never had a model",
                )  # fmt: skip


def _references(described: Described, project: Project) -> Iterator[Finding]:
    for name, capability in project.capabilities.items():
        named = {(one.table, one.column) for one in capability.references}
        for one in into(described, capability.tables):
            if (one.table, one.column) not in named:
                to = "" if one.constrained else f' and to = "{one.to}.{one.to_column}"'
                yield _drifted(
                    f"the reference {one.table}.{one.column} → {one.to}",
                    f"capabilities.{name}.references",
                    f'add [[capabilities.{name}.references]] with table = "{one.table}", column = "{one.column}"{to}',
                )


def _routes(described: Described, project: Project, text: str) -> Iterator[Finding]:
    owners = {table: name for name, each in project.capabilities.items() for table in each.tables}
    homes: dict[str, set[str]] = {}
    for table in described.tables:
        if table.name in owners:
            homes.setdefault(table.app, set()).add(owners[table.name])
    apps = {app: next(iter(names)) for app, names in homes.items() if len(names) == 1}
    known = [route for each in project.capabilities.values() for route in each.routes]
    known += project.gateway.routes
    said = [line for line in text.splitlines() if line.lstrip().startswith("#")]
    for name, found in claims(described, owners.get, apps).items():
        for claim in found:
            left = _left(claim, known)
            if left and not any(f' {claim.text.partition(" ")[2]}"' in line for line in said):
                shown = f"{','.join(left)} {claim.text.partition(' ')[2]}" if len(left) < len(METHODS) else claim.text
                yield _drifted(
                    f'the route "{shown}"' + (f" ({'; '.join(claim.doubts)})" if claim.doubts else ""),
                    ", ".join(claim.places),
                    f"add it to the routes of {name}, or write it in a comment there, if it stays",
                )


def _left(claim: Claim, known: Collection[Route]) -> list[str]:
    """The methods of the claim that no route of the file has."""
    if claim.route is None:
        return [claim.text.partition(" ")[0]]
    methods = sorted(claim.route.methods or METHODS)
    path = claim.route.path
    return [one for one in methods if not any(covers(route, Route(frozenset({one}), path)) for route in known)]


def _drifted(what: str, place: str, remedy: str) -> Finding:
    return Finding("file-behind", Severity.ERROR, place, f"{what} stands nowhere in the file", remedy)
