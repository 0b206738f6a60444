"""What is measured of each request: how many came, how they ended, and how long they took.

`chassis.servers.health.HealthMiddleware` measures every request that it lets through, so the time includes the wait for
a place at work and the wait for an owner. It ends when the headers can be sent: a streamed body may take longer.

Note "labels have bounds": each set of labels is a series that Prometheus keeps. So no label has what a client has
written: a route is named as the urlconf has it, a method is one of those that HTTP has, and of routes there are
`MOST_ROUTES` at most.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import Resolver404, resolve
from prometheus_client import Counter, Histogram

from chassis import settings
from chassis.process import routes

METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "POST", "PUT", "PATCH", "DELETE"})
OTHER = "OTHER"  # a client may send any word as a method
UNROUTED = "(no route)"
MORE_ROUTES = "(more routes)"
MOST_ROUTES = 500
MONOLITH, SERVICE = "monolith", "service"
OWN = "chassis.process.measuring"  # in each request's environment, which its copies share

# As the client's library has them, and longer: a request may be held for five seconds.
BUCKETS_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
LABELS = ("capability", "side", "method", "route")

REQUESTS = Counter("chassis_http_requests_total", "Requests that were answered.", [*LABELS, "status"])
DURATION = Histogram(
    "chassis_http_request_duration_seconds",
    "Time from a request's first middleware to its answer.",
    LABELS,
    buckets=BUCKETS_SECONDS,
)

_routes: set[str] = set()


def belongs(request: HttpRequest, capability: str, side: str) -> None:
    """The request is one to a route of that capability, and this process is on that side of its move."""
    request.META[OWN] = (capability, side)


def measured(request: HttpRequest, get_response: Callable[[HttpRequest], HttpResponseBase]) -> HttpResponseBase:
    """The answer of ``get_response``, which is counted and timed; an exception counts as status 500."""
    began, status = time.perf_counter(), 500
    try:
        response = get_response(request)
        status = response.status_code
        return response
    finally:
        labels = _labels(request)
        REQUESTS.labels(*labels, _status(status)).inc()
        DURATION.labels(*labels).observe(time.perf_counter() - began)


def _labels(request: HttpRequest) -> tuple[str, str, str, str]:
    meta: Mapping[str, tuple[str, str]] = request.META
    capability, side = meta.get(OWN) or ("", MONOLITH if settings.open_without_move() else SERVICE)
    method = request.method if request.method in METHODS else OTHER
    return capability, side, method or OTHER, _route(request)


def _route(request: HttpRequest) -> str:
    match = request.resolver_match
    if match is None:
        # A request that was led on, or refused, before the view was looked up.
        with suppress(Resolver404):
            match = resolve(request.path_info, getattr(request, "urlconf", None))
    route = routes.name(match)
    return UNROUTED if route is None else _known(route)


def _known(route: str) -> str:
    """The route; or, in a project that makes urls by the thousand, a word for all that came later than the others."""
    if route not in _routes:
        if len(_routes) >= MOST_ROUTES:
            return MORE_ROUTES
        _routes.add(route)
    return route


def _status(status: int) -> str:
    return str(status) if 100 <= status <= 599 else "other"
