"""The route table as an Ingress, which knows neither methods nor the part of a path between two variables.

A path goes where its writes go, with all its methods. A template goes where its writes go, with all paths below its
first variable.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from strangler.adapters.kubernetes.front import Front
from strangler.domain.errors import RefusedError
from strangler.domain.route import Route
from strangler.domain.routing import CapabilityRoutes, RouteTable

EXACT, PREFIX = "Exact", "Prefix"

Path = tuple[str, str]
"""The type of a path, and the path."""


def ingress(table: RouteTable, front: Front) -> dict[str, Any]:
    """One Ingress with all paths.

    Raises:
        RefusedError: two owners share requests that an Ingress cannot tell apart, or one would get requests that no
            capability claims; or the reads of a capability go to both sides.
    """
    paths = [_path(path, backend, front.ports) for path, backend in _backends(table).items()]
    rules: list[dict[str, Any]] = [
        {**({"host": host} if host else {}), "http": {"paths": paths}} for host in front.hosts or ("",)
    ]
    spec: dict[str, Any] = {"rules": rules}
    if front.ingress_class:
        spec = {"ingressClassName": front.ingress_class, **spec}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": front.metadata(front.name, table.version),
        "spec": spec,
    }


def _backends(table: RouteTable) -> Mapping[Path, str]:
    found: dict[Path, str] = {}
    for capability in table.capabilities:
        if capability.shared:
            raise RefusedError(
                "a share of its reads goes to the copy, and an Ingress knows no shares",
                place=capability.capability,
                remedy=f"take the HTTPRoutes, or run `strangler canary {capability.capability} 0` first",
                id="ingress-too-coarse",
            )
        owner = _owner(capability)
        for path in _paths(capability):
            if found.setdefault(path, owner) != owner:
                raise RefusedError(
                    f"{path[1]} has two owners in one Ingress, {found[path]} and {owner}",
                    place=capability.capability,
                    remedy="take the HTTPRoutes, which can tell its methods and variables apart",
                    id="ingress-too-coarse",
                )
    return {**found, (PREFIX, "/"): found.get((PREFIX, "/"), table.default)}


def _owner(capability: CapabilityRoutes) -> str:
    return capability.clusters[max(capability.writes, key=lambda side: capability.writes[side])]


def _paths(capability: CapabilityRoutes) -> Iterator[Path]:
    """Each path once, though several routes may share it."""
    yield from dict.fromkeys(_shape(route, capability) for route in capability.routes)


def _shape(route: Route, capability: CapabilityRoutes) -> Path:
    stem = re.split(r"[{*]", route.path, maxsplit=1)[0]
    if stem == route.path:
        return EXACT, route.path
    prefix = stem.rpartition("/")[0] or "/"
    if prefix == "/" and route.path != "/*":
        raise RefusedError(
            f"{route.path} would take everything in an Ingress",
            place=capability.capability,
            remedy="take the HTTPRoutes, which can match an expression",
            id="ingress-too-coarse",
        )
    return PREFIX, prefix


def _path(path: Path, backend: str, ports: Mapping[str, int]) -> dict[str, Any]:
    kind, text = path
    service = {"name": backend, "port": {"number": ports[backend]}}
    return {"path": text, "pathType": kind, "backend": {"service": service}}
