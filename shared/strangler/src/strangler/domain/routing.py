"""Which side answers which requests: the table that the gateway follows."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from strangler.domain.project import MONOLITH, SERVICE, Project, Route

SIDE_HEADER = "x-strangler-to"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
ALL_TO_MONOLITH: Mapping[str, int] = {MONOLITH: 100, SERVICE: 0}
ALL_TO_SERVICE: Mapping[str, int] = {MONOLITH: 0, SERVICE: 100}


@dataclass(frozen=True, slots=True)
class CapabilityRoutes:
    """The routes of one capability, the cluster of each side, and the share of requests, in percent,
    that each side answers: ``reads`` for safe methods, ``writes`` for all others."""

    capability: str
    routes: Sequence[Route]
    clusters: Mapping[str, str]
    reads: Mapping[str, int]
    writes: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class RouteTable:
    """All routes of a project at one moment; what no capability claims goes to ``default``.

    ``version`` names the moment: gateways report it back as the table they follow.
    """

    version: str
    capabilities: Sequence[CapabilityRoutes]
    default: str


def untouched(project: Project, version: str = "untouched") -> RouteTable:
    """The table before any move: everything is answered by the monolith."""
    return RouteTable(
        version=version,
        capabilities=[
            CapabilityRoutes(
                capability=capability.name,
                routes=capability.routes,
                clusters={MONOLITH: project.monolith, SERVICE: capability.process},
                reads=ALL_TO_MONOLITH,
                writes=ALL_TO_MONOLITH,
            )
            for capability in project.capabilities.values()
        ],
        default=project.monolith,
    )


def reading_methods(route: Route) -> frozenset[str]:
    """The safe methods of a route; who answers GET answers HEAD."""
    methods = SAFE_METHODS & route.methods if route.methods else SAFE_METHODS
    return methods | {"HEAD"} if "GET" in methods else methods


def writing_methods(route: Route) -> frozenset[str] | None:
    """The other methods of a route; ``None`` stands for any method."""
    return route.methods - SAFE_METHODS if route.methods else None


def overlapping(one: Route, other: Route) -> bool:
    """Whether some request could match both; two templates in one segment count as such."""
    if one.methods and other.methods and not one.methods & other.methods:
        return False
    return _paths_meet(one.path.split("/"), other.path.split("/"))


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
    pattern = "[^/]+".join(re.escape(part) for part in re.split(r"\{[a-z_]+\}", template))
    return re.fullmatch(pattern, literal) is not None
