"""The route table as Gateway API's HTTPRoutes: one per capability, and one for all that no capability claims.

Note "forwarded, not bounced": such a gateway does not follow a bounce. But a side that finds the kit's header on a
request takes the request for a bounced one, and forwards it to the owner itself. So each rule sets that header, which
replaces a header that a client may have sent: clients see no redirect, however long the routes stay behind the owner.

In a canary the share of the copy has a header by which it knows that it may answer. The API knows no hash, so reads are
not sticky here.

Of a route's limits the API knows only the time; the processes decide how large a body may be. A closed path leads
nowhere, so that a controller answers it with an error of its own: there is a rule for the plain path, and one with an
expression for its spellings. Such a gateway is for those outside, so internal paths are closed there, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from strangler.adapters.kubernetes.front import Front
from strangler.domain.closed import spellings
from strangler.domain.project import MONOLITH, SERVICE
from strangler.domain.route import Route
from strangler.domain.routing import (
    READS_HEADER,
    ROUTE_SECONDS,
    SIDE_HEADER,
    CapabilityRoutes,
    RouteTable,
    reading_methods,
    writing_methods,
)

API = "gateway.networking.k8s.io/v1"
# Limits of the schema: so many matches per rule, and twice as many per route.
MATCHES, RULES = 64, 2

Document = dict[str, Any]


def httproutes(table: RouteTable, front: Front) -> list[Document]:
    """The documents in the order of the table; the one for all that no capability claims comes last."""
    documents = [
        document for each in table.capabilities for document in _of_capability(each, front=front, version=table.version)
    ]
    rules = [*_closed([*table.closed, *table.internal]), *_others(table, front.ports)]
    return [*documents, *_documents(front.name, rules, front=front, version=table.version)]


def _closed(paths: Sequence[str]) -> Iterator[Document]:
    if paths:
        yield {"matches": [match for path in paths for match in (_prefix(path), _expression(spellings(path)))]}


def _others(table: RouteTable, ports: Mapping[str, int]) -> Iterator[Document]:
    backends = {table.default: 100}
    for route in table.others:
        yield _rule(_matches(route, _all(route)), backends, side=MONOLITH, ports=ports, timeout=route.timeout or 0)
    yield _rule([_prefix("/")], backends, side=MONOLITH, ports=ports, timeout=0)


def _prefix(path: str) -> Document:
    return {"path": {"type": "PathPrefix", "value": path}}


def _expression(pattern: str) -> Document:
    return {"path": {"type": "RegularExpression", "value": pattern}}


def _of_capability(capability: CapabilityRoutes, *, front: Front, version: str) -> Iterator[Document]:
    name = f"{front.name}-{capability.capability.replace('_', '-')}"
    yield from _documents(name, list(_rules(capability, front.ports)), front=front, version=version)


def _documents(name: str, rules: Sequence[Document], *, front: Front, version: str) -> Iterator[Document]:
    for number, start in enumerate(range(0, len(rules), RULES), 1):
        called = name if len(rules) <= RULES else f"{name}-{number}"
        yield _document(called, rules[start : start + RULES], front=front, version=version)


def _rules(capability: CapabilityRoutes, ports: Mapping[str, int]) -> Iterator[Document]:
    for timeout, weights, matches in _shares(capability):
        backends = {capability.clusters[side]: weight for side, weight in weights.items() if weight}
        copies = {capability.clusters[SERVICE]: capability.capability} if weights != capability.writes else {}
        side = max(weights, key=lambda each: weights[each])
        for start in range(0, len(matches), MATCHES):
            part = matches[start : start + MATCHES]
            yield _rule(part, backends, side=side, ports=ports, timeout=timeout, copies=copies)


def _shares(capability: CapabilityRoutes) -> Iterator[tuple[float, Mapping[str, int], list[Document]]]:
    """Puts routes with the same time limit together, for the limit belongs to a rule."""
    limits = [ROUTE_SECONDS if route.timeout is None else route.timeout for route in capability.routes]
    for limit in dict.fromkeys(limits):
        routes = [route for route, own in zip(capability.routes, limits, strict=True) if own == limit]
        for weights, matches in _weighted(replace(capability, routes=routes)):
            if matches:
                yield limit, weights, matches


def _weighted(capability: CapabilityRoutes) -> Iterator[tuple[Mapping[str, int], list[Document]]]:
    """Keeps reads and writes apart only if different sides answer them."""
    if capability.reads == capability.writes:
        yield capability.reads, [match for route in capability.routes for match in _matches(route, _all(route))]
        return
    reading = [(route, reading_methods(route)) for route in capability.routes]
    yield capability.reads, [match for route, methods in reading for match in _matches(route, methods) if methods]
    writing = [(route, methods) for route in capability.routes if (methods := writing_methods(route)) != frozenset()]
    yield capability.writes, [match for route, methods in writing for match in _matches(route, methods)]


def _all(route: Route) -> frozenset[str] | None:
    return route.asked or None


def _matches(route: Route, methods: frozenset[str] | None) -> list[Document]:
    """One match per method, or one for any method."""
    if methods is None:
        return [{"path": _path(route)}]
    return [{"path": _path(route), "method": method} for method in sorted(methods)]


def _path(route: Route) -> Document:
    """A prefix of the API matches whole segments, and also the path itself, which ours does not match. So every path
    that is not plain becomes an expression."""
    if route.is_plain and not route.path.endswith("*"):
        return {"type": "Exact", "value": route.path}
    return {"type": "RegularExpression", "value": route.written_pattern}


def _rule(
    matches: Sequence[Document],
    backends: Mapping[str, int],
    *,
    side: str,
    ports: Mapping[str, int],
    timeout: float,
    copies: Mapping[str, str] = MappingProxyType({}),
) -> Document:
    """``copies`` are the backends that answer beside the owner, each with its capability."""
    return {
        "matches": list(matches),
        # See the note "forwarded, not bounced".
        "filters": [
            {"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": SIDE_HEADER, "value": side}]}}
        ],
        "timeouts": {"request": f"{timeout:g}s"},
        "backendRefs": [
            {"name": name, "port": ports[name], "weight": weight, **_to_a_copy(copies.get(name))}
            for name, weight in sorted(backends.items())
        ],
    }


def _to_a_copy(capability: str | None) -> Document:
    """By these headers the copy knows that it may answer; otherwise it forwards the read to the owner itself."""
    if capability is None:
        return {}
    told = [{"name": READS_HEADER, "value": capability}, {"name": SIDE_HEADER, "value": SERVICE}]
    return {"filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": told}}]}


def _document(name: str, rules: Sequence[Document], *, front: Front, version: str) -> Document:
    namespace, _, gateway = front.gateway.rpartition("/")
    spec: Document = {"parentRefs": [{"name": gateway, **({"namespace": namespace} if namespace else {})}]}
    if front.hosts:
        spec["hostnames"] = list(front.hosts)
    spec["rules"] = list(rules)
    return {"apiVersion": API, "kind": "HTTPRoute", "metadata": front.metadata(name, version), "spec": spec}
