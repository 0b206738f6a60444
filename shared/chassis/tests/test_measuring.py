"""What is measured of each request."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from chassis.ownership import passages
from chassis.process import measuring
from chassis.process.routes import NAME_CHARACTERS
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path
from prometheus_client import REGISTRY, generate_latest
from prometheus_client.parser import text_string_to_metric_families

AWKWARD = 'a\n"b"\\{}'


def shelf(request: HttpRequest, number: int) -> HttpResponse:
    return HttpResponse(status=number)


def broken(request: HttpRequest) -> HttpResponse:
    raise ZeroDivisionError


urlpatterns = [
    path("shelves/<int:number>", shelf),
    path("broken", broken),
    path(f"awkward{AWKWARD}" + "x" * 300, shelf, {"number": 200}),
]
pytestmark = [pytest.mark.urls("test_measuring"), pytest.mark.django_db]
HOST = {"host": "library.example"}


@pytest.fixture
def ask(client: Client) -> Any:
    client.raise_request_exception = False
    return lambda where, method="GET": client.generic(method, where, headers=HOST)


def requests(method: str, route: str, status: str) -> float:
    """Of requests to no capability, in a process that is the owner of all that has not moved."""
    labels = {"capability": "", "side": "monolith", "method": method, "route": route}
    return REGISTRY.get_sample_value("chassis_http_requests_total", {**labels, "status": status}) or 0


def durations(method: str, route: str) -> float:
    labels = {"capability": "", "side": "monolith", "method": method, "route": route}
    return REGISTRY.get_sample_value("chassis_http_request_duration_seconds_count", labels) or 0


@pytest.mark.parametrize(
    ("method", "where", "route", "status", "counted"),
    [
        ("GET", "/shelves/204", "/shelves/<int:number>", 204, "GET"),
        ("POST", "/shelves/503", "/shelves/<int:number>", 503, "POST"),
        ("GET", "/broken", "/broken", 500, "GET"),
        ("GET", "/nowhere", measuring.UNROUTED, 404, "GET"),
        ("BREW", "/shelves/204", "/shelves/<int:number>", 204, measuring.OTHER),
    ],
)
def test_a_request_is_counted_and_timed_by_its_route(
    ask: Any, method: str, where: str, route: str, status: int, counted: str
) -> None:
    before = requests(counted, route, str(status)), durations(counted, route)

    assert ask(where, method).status_code == status

    assert (requests(counted, route, str(status)), durations(counted, route)) == (before[0] + 1, before[1] + 1)


def test_what_a_probe_asks_is_not_counted(ask: Any) -> None:
    before = generate_latest(REGISTRY).count(b"chassis_http_requests_total{")

    for where in ("/healthz", "/metrics"):
        assert ask(where).status_code == 200

    assert generate_latest(REGISTRY).count(b"chassis_http_requests_total{") == before


def test_no_path_that_a_client_writes_becomes_a_label(ask: Any) -> None:
    for number in range(200, 260):
        ask(f"/shelves/{number}")
    for number in range(60):
        ask(f"/nowhere-{number}")

    page = generate_latest(REGISTRY).decode()

    assert "nowhere" not in page
    assert "/shelves/2" not in page


def test_a_service_that_a_move_fills_is_on_its_side(ask: Any, settings: Any) -> None:
    settings.CHASSIS_OPEN_WITHOUT_MOVE = False
    labels = {"capability": "", "side": "service", "method": "GET", "route": "/shelves/<int:number>", "status": "204"}

    ask("/shelves/204")

    assert REGISTRY.get_sample_value("chassis_http_requests_total", labels)


def test_an_awkward_label_does_no_harm(ask: Any) -> None:
    passages.hit(AWKWARD + "x" * 10_000)
    ask("/awkward" + "a%0A%22b%22%5C%7B%7D" + "x" * 300)

    families = {family.name: family for family in text_string_to_metric_families(generate_latest(REGISTRY).decode())}

    values = {sample.labels["capability"] for sample in families["chassis_fence_hits"].samples}
    assert max(map(len, values)) == NAME_CHARACTERS
    assert not any("\n" in value for value in values)
    seen = {sample.labels["route"] for sample in families["chassis_http_requests"].samples}
    assert max(map(len, seen)) == NAME_CHARACTERS


def test_routes_without_number_end_in_one_series(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "_routes", set())

    found = {measuring._known(f"/{number}") for number in range(measuring.MOST_ROUTES + 100)}

    assert len(found) == measuring.MOST_ROUTES + 1
    assert measuring.MORE_ROUTES in found
    assert measuring._known("/7") == "/7"


def test_what_is_held_is_seen_while_it_is_held() -> None:
    inside, go = threading.Event(), threading.Event()

    def wait() -> None:
        with passages.held("books"):
            inside.set()
            go.wait(60)

    thread = threading.Thread(target=wait)
    thread.start()
    inside.wait(60)
    held = REGISTRY.get_sample_value("chassis_fence_held_requests", {"capability": "books"})
    go.set()
    thread.join()

    assert held == 1
    assert REGISTRY.get_sample_value("chassis_fence_held_requests", {"capability": "books"}) == 0
