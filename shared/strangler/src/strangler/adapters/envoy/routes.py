"""The route table as Envoy reads it.

Note "bounces": the old owner answers a request that meets its fence with 307, its own address and
``x-strangler-to``. Envoy then runs the table again, and the routes that match that header stand before
all others: a bounce reaches the new owner whatever the weights say. Only these routes may be reached by
an internal redirect, so that an application's own 307 still goes to the client. Where TLS ends before the
gateway that address begins with https, and the connection to the gateway has none: such a redirect crosses schemes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from strangler.adapters.envoy import files
from strangler.adapters.envoy.bootstrap import BUFFER_BYTES, ROUTE_CONFIGURATION
from strangler.domain.project import Route
from strangler.domain.routing import (
    SIDE_HEADER,
    CapabilityRoutes,
    RouteTable,
    reading_methods,
    writing_methods,
)

ROUTE_TIMEOUT = "30s"
MAX_BOUNCES = 4


def publish(directory: Path, table: RouteTable) -> None:
    """Writes the routes and renames them into place; Envoy follows within some milliseconds."""
    files.replace(directory, files.ROUTES_FILE, render_routes(table))


def render_routes(table: RouteTable) -> dict[str, Any]:
    """The table as a DiscoveryResponse whose version is the table's."""
    bounced = [route for each in table.capabilities for route in _bounced_routes(each)]
    targets = sorted({str(route["name"]) for route in bounced})
    routes: list[dict[str, Any]] = [
        *bounced,
        *(route for each in table.capabilities for route in _weighted_routes(each)),
        {"name": "default", "match": {"prefix": "/"}, "route": {"cluster": table.default}},
    ]
    for route in routes:
        route["route"] |= _manners(targets)
    configuration = {
        "@type": files.type_url("envoy.config.route.v3.RouteConfiguration"),
        "name": ROUTE_CONFIGURATION,
        "virtual_hosts": [
            {
                "name": "all",
                "domains": ["*"],
                "request_body_buffer_limit": BUFFER_BYTES,
                "routes": routes,
            }
        ],
    }
    return {"version_info": table.version, "resources": [configuration]}


def _bounced_routes(capability: CapabilityRoutes) -> list[dict[str, Any]]:
    return [
        {
            "name": f"{capability.capability}/bounced-to-{side}",
            "match": {**_path(route), "headers": [*_methods(route.methods), _side(side)]},
            "route": {"cluster": cluster},
        }
        for side, cluster in sorted(capability.clusters.items())
        for route in capability.routes
    ]


def _weighted_routes(capability: CapabilityRoutes) -> list[dict[str, Any]]:
    routes: list[dict[str, Any]] = []
    for route in capability.routes:
        reading, writing = reading_methods(route), writing_methods(route)
        if reading:
            routes.append(_weighted_route(capability, "reads", route, reading, capability.reads))
        if writing is None or writing:
            routes.append(_weighted_route(capability, "writes", route, writing or frozenset(), capability.writes))
    return routes


def _weighted_route(
    capability: CapabilityRoutes, kind: str, route: Route, methods: frozenset[str], weights: Mapping[str, int]
) -> dict[str, Any]:
    return {
        "name": f"{capability.capability}/{kind}",
        "match": {**_path(route), "headers": _methods(methods)},
        "route": _target(capability.clusters, weights),
    }


def _target(clusters: Mapping[str, str], weights: Mapping[str, int]) -> dict[str, Any]:
    shares = {clusters[side]: weight for side, weight in weights.items() if weight}
    if len(shares) == 1:
        return {"cluster": next(iter(shares))}
    return {
        "weighted_clusters": {"clusters": [{"name": name, "weight": weight} for name, weight in sorted(shares.items())]}
    }


def _manners(targets: list[str]) -> dict[str, Any]:
    """What holds for every route."""
    return {
        "timeout": ROUTE_TIMEOUT,
        # The rest of a connection is idle between a request and its answer; a POST is sent once.
        "retry_policy": {
            "retry_on": "connect-failure",
            "num_retries": 8,
            "retry_back_off": {"base_interval": "0.05s", "max_interval": "0.5s"},
        },
        "internal_redirect_policy": {
            "max_internal_redirects": MAX_BOUNCES,
            "redirect_response_codes": [307],
            "response_headers_to_copy": [SIDE_HEADER],
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


def _path(route: Route) -> dict[str, Any]:
    if "{" in route.path:
        return {"safe_regex": {"regex": route.pattern}}
    if route.path.endswith("*"):
        return {"prefix": route.path[:-1]}
    return {"path": route.path}


def _methods(methods: frozenset[str]) -> list[dict[str, Any]]:
    """Matches any of the methods; none given, any method at all."""
    if not methods:
        return []
    wanted = methods | {"HEAD"} if "GET" in methods else methods
    return [{"name": ":method", "string_match": {"safe_regex": {"regex": "|".join(sorted(wanted))}}}]


def _side(side: str) -> dict[str, Any]:
    return {"name": SIDE_HEADER, "string_match": {"exact": side}}
