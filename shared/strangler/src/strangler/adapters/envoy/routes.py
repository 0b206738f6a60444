"""The route table as Envoy reads it.

Note "bounces": the old owner answers a request that meets its fence with 307, its own address and
``x-strangler-to``. Envoy then goes through the table again, and the routes that match that header come before
all others: a bounce reaches the new owner whatever the weights say. An internal redirect may reach only these
routes, so that an application's own 307 still goes to the client. Where TLS ends before the gateway, that address
begins with https, but the connection to the gateway has no TLS: so such a redirect crosses schemes.

Processes see paths decoded, and may bounce a path that, as it is written, matches no route (``/a%2Fb``). So a bounce
also names its capability: this decides where the path matches no route.

Note "limits": a request that a capability claims is answered within ROUTE_SECONDS, which leave room for a pause. A
request that no capability claims may take any time, as long as bytes move. A body up to BUFFERED is kept until it is
whole: processes have few threads, and so a slow sender holds none of them. Memory is limited, too, so larger bodies,
and those that do not say their length, are passed on as they come: the process lets only few of its threads wait for
them, and counts them up to the limit that the route tells it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from strangler.adapters.envoy import files
from strangler.adapters.envoy.accesslog import LOGGED
from strangler.adapters.envoy.bootstrap import BUFFER_BYTES, ROUTE_CONFIGURATION
from strangler.adapters.envoy.buffering import UNBUFFERED, buffered
from strangler.adapters.envoy.closing import closed_route, internal_route
from strangler.adapters.envoy.sharing import RETRIES, shared_targets
from strangler.adapters.envoy.tokens import required
from strangler.domain.project import Sharing
from strangler.domain.route import Route
from strangler.domain.routing import (
    CAPABILITY_HEADER,
    LIMIT_HEADER,
    ROUTE_SECONDS,
    SIDE_HEADER,
    TRACE_HEADER,
    CapabilityRoutes,
    RouteTable,
    reading_methods,
    writing_methods,
)

# The time without a byte in either direction.
IDLE_SECONDS = 60.0
LONG_IDLE_SECONDS = 300.0
BUFFERED = BUFFER_BYTES
MAX_BOUNCES = 4

Document = dict[str, Any]


def publish(directory: Path, table: RouteTable) -> None:
    """Writes the routes and renames them into place; Envoy follows within some milliseconds."""
    files.replace(directory, files.ROUTES_FILE, render_routes(table))


def render_routes(table: RouteTable) -> Document:
    """The table as a DiscoveryResponse whose version is the table's."""
    bounced = [route for each in table.capabilities for route in _bounced_routes(each)]
    targets = sorted({str(route["name"]) for route in bounced})
    routes = [
        *bounced,
        *(route for each in table.capabilities for route in _weighted_routes(each, table.sharing)),
        *(_other_route(route, table.default) for route in table.others),
        _other_route(Route(frozenset(), "/*"), table.default, name="default"),
    ]
    for route in routes:
        route["route"] = {**_manners(targets), **route["route"]}
    configuration = {
        "@type": files.type_url("envoy.config.route.v3.RouteConfiguration"),
        "name": ROUTE_CONFIGURATION,
        "virtual_hosts": [
            {
                "name": "all",
                "domains": ["*"],
                "request_body_buffer_limit": BUFFER_BYTES,
                "routes": [
                    *(closed_route(path) for path in table.closed),
                    *(internal_route(path) for path in table.internal),
                    *(limited for route in routes for limited in _with_limit(route, table.max_body)),
                ],
            }
        ],
    }
    return {"version_info": table.version, "resources": [configuration]}


def _bounced_routes(capability: CapabilityRoutes) -> Iterator[Document]:
    """Routes by path, each with its limits; then one for all other requests that a side leads to the other."""
    for side, cluster in sorted(capability.clusters.items()):
        name = f"{capability.capability}/bounced-to-{side}"
        for route in capability.routes:
            headers = [*_methods(route.asked), _exactly(SIDE_HEADER, side)]
            bounced = _route(name, {**_path(route), "headers": headers}, {"cluster": cluster}, route, ROUTE_SECONDS)
            yield _told(bounced, route, capability)
        headers = [_exactly(SIDE_HEADER, side), _exactly(CAPABILITY_HEADER, capability.capability)]
        loosest = _loosest(capability)
        bounced = _route(name, {"prefix": "/", "headers": headers}, {"cluster": cluster}, loosest, ROUTE_SECONDS)
        yield _told(bounced, None, capability)


def _loosest(capability: CapabilityRoutes) -> Route:
    """The largest limits of any route of the capability."""
    timeouts = [ROUTE_SECONDS if route.timeout is None else route.timeout for route in capability.routes]
    bodies = [route.max_body for route in capability.routes if route.max_body is not None]
    timeout = 0 if 0 in timeouts else max(timeouts, default=ROUTE_SECONDS)
    return Route(frozenset(), "/*", timeout=timeout, max_body=max(bodies, default=None))


def _weighted_routes(capability: CapabilityRoutes, sharing: Sharing) -> list[Document]:
    routes: list[Document] = []
    for route in capability.routes:
        reading, writing = reading_methods(route), writing_methods(route)
        if reading and capability.shared:
            routes += _shared_routes(capability, route, reading, sharing)
        elif reading:
            routes.append(_weighted_route(capability, "reads", route, reading, capability.reads))
        if writing is None or writing:
            routes.append(_weighted_route(capability, "writes", route, writing or frozenset(), capability.writes))
    return routes


def _weighted_route(
    capability: CapabilityRoutes, kind: str, route: Route, methods: frozenset[str], weights: Mapping[str, int]
) -> Document:
    match = {**_path(route), "headers": _methods(methods)}
    target = _target(capability.clusters, weights)
    return _told(_route(f"{capability.capability}/{kind}", match, target, route, ROUTE_SECONDS), route, capability)


def _shared_routes(
    capability: CapabilityRoutes, route: Route, methods: frozenset[str], sharing: Sharing
) -> Iterator[Document]:
    """The routes of the reads that both sides answer; see `sharing`."""
    match = {**_path(route), "headers": _methods(methods)}
    seconds = ROUTE_SECONDS if route.timeout is None else route.timeout
    for kind, headers, target, more in shared_targets(capability, sharing, seconds):
        found = _route(
            f"{capability.capability}/{kind}",
            {**match, "headers": [*match["headers"], *headers]},
            target,
            route,
            ROUTE_SECONDS,
        )
        yield {**_told(found, route, capability), **more}


def _told(document: Document, route: Route | None, capability: CapabilityRoutes) -> Document:
    """The route with what the gateway's log says of its requests."""
    fields: Document = {"capability": capability.capability}
    if capability.epoch:
        fields["epoch"] = capability.epoch
    if route is not None:
        fields["route"] = route.path
    return {**document, "metadata": {"filter_metadata": {LOGGED: fields}}}


def _other_route(route: Route, cluster: str, *, name: str = "other") -> Document:
    """See the note "limits"."""
    return _route(name, {**_path(route), "headers": _methods(route.asked)}, {"cluster": cluster}, route, 0)


def _route(name: str, match: Document, target: Document, route: Route, timeout: float) -> Document:
    """A route with its own limits; ``timeout`` holds if it has none."""
    timeout = timeout if route.timeout is None else route.timeout
    idle = max(timeout, IDLE_SECONDS) if timeout else LONG_IDLE_SECONDS
    limits = {"timeout": f"{timeout:g}s", "idle_timeout": f"{idle:g}s"}
    return {"name": name, "match": match, "route": target | limits, "max_body": route.max_body, "auth": route.auth}


def _with_limit(route: Document, most: int) -> Iterator[Document]:
    """The routes that Envoy needs, one for each way in which a request may say its length; see the note "limits"."""
    limit = route.pop("max_body") or most
    guard = required() if route.pop("auth") else {}
    told = {"header": {"key": LIMIT_HEADER, "value": str(limit)}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
    route = {**route, "request_headers_to_add": [told, *route.get("request_headers_to_add", [])]}
    refused = {"name": "too-large", "match": route["match"], "direct_response": {"status": 413}}
    yield _filtered(_of_length(refused, limit + 1, 2**63 - 1), UNBUFFERED)
    if limit > BUFFERED:
        yield _filtered(_of_length(route, 0, BUFFERED + 1), buffered(max_request_bytes=BUFFERED), guard)
        yield _filtered(route, UNBUFFERED, guard)
    else:
        yield _filtered(route, buffered(max_request_bytes=limit), guard)


def _filtered(route: Document, *settings: Mapping[str, Document]) -> Document:
    """The route with the settings of several filters."""
    return {**route, "typed_per_filter_config": {name: each for part in settings for name, each in part.items()}}


def _of_length(route: Document, start: int, end: int) -> Document:
    match = route["match"]
    length = {"name": "content-length", "range_match": {"start": start, "end": end}}
    return {**route, "match": {**match, "headers": [*match["headers"], length]}}


def _target(clusters: Mapping[str, str], weights: Mapping[str, int]) -> Document:
    shares = {clusters[side]: weight for side, weight in weights.items() if weight}
    if len(shares) == 1:
        return {"cluster": next(iter(shares))}
    return {
        "weighted_clusters": {"clusters": [{"name": name, "weight": weight} for name, weight in sorted(shares.items())]}
    }


def _manners(targets: list[str]) -> Document:
    """The settings of every route."""
    return {
        # Only a failure to connect is retried, so that a POST is sent only once.
        "retry_policy": {"retry_on": "connect-failure", **RETRIES},
        "internal_redirect_policy": {
            "max_internal_redirects": MAX_BOUNCES,
            "redirect_response_codes": [307],
            "response_headers_to_copy": [SIDE_HEADER, CAPABILITY_HEADER, TRACE_HEADER],
            "allow_cross_scheme_redirect": True,  # see the note "bounces"
            "predicates": [
                {
                    "name": "envoy.internal_redirect_predicates.allow_listed_routes",
                    "typed_config": {
                        "@type": files.type_url(
                            "envoy.extensions.internal_redirect.allow_listed_routes.v3.AllowListedRoutesConfig"
                        ),
                        "allowed_route_names": targets,
                    },
                }
            ],
        },
    }


def _path(route: Route) -> Document:
    if not route.has_one_spelling:
        return {"safe_regex": {"regex": route.written_pattern}}
    if route.path.endswith("*"):
        return {"prefix": route.path[:-1]}
    return {"path": route.path}


def _methods(methods: frozenset[str]) -> list[Document]:
    """Matches any of the methods; none given, any method at all."""
    if not methods:
        return []
    return [{"name": ":method", "string_match": {"safe_regex": {"regex": "|".join(sorted(methods))}}}]


def _exactly(header: str, value: str) -> Document:
    return {"name": header, "string_match": {"exact": value}}
