"""What a route is called: in a metric, a log line and a span the same, so that each leads to the others."""

from __future__ import annotations

from typing import Any

import pytest
from chassis.process import logs, routes
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import ResolverMatch, path, re_path
from library.recorded import Recorded
from prometheus_client import REGISTRY

noted: dict[str, Any] = {}


def shelf(request: HttpRequest, number: str) -> HttpResponse:
    # What is noted later is added to what the middleware has handed out.
    noted["by"] = request.META[logs.NOTED]
    return HttpResponse()


urlpatterns = [
    path("shelves/<int:number>", shelf),
    re_path(r"^old/(?P<number>\d+)/$", shelf),
    re_path("^a\nb(?P<number>.)", shelf),
]


@pytest.mark.urls("test_routes")
@pytest.mark.django_db
@pytest.mark.parametrize(
    ("where", "route"),
    [
        ("/shelves/7", "/shelves/<int:number>"),
        ("/old/7/", r"/old/(?P<number>\d+)/$"),
        ("/a%0Ab7", "/a\N{REPLACEMENT CHARACTER}b(?P<number>.)"),
    ],
)
def test_metric_line_and_span_have_one_name_for_it(
    recorded: Recorded, settings: Any, client: Client, where: str, route: str
) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "chassis.process.tracing.TraceMiddleware"]

    assert client.get(where, headers={"host": "library.example"}).status_code == 200

    labels = {"capability": "", "side": "monolith", "method": "GET", "route": route, "status": "200"}
    assert REGISTRY.get_sample_value("chassis_http_requests_total", labels)
    assert noted["by"]["route"] == route
    assert recorded.one(f"GET {route}").attributes["http.route"] == route


def test_what_was_not_found_by_a_pattern_has_no_name() -> None:
    assert routes.name(None) is None
    assert routes.name(ResolverMatch(shelf, (), {})) is None
