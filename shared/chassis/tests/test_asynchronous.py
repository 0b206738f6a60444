"""What cannot be held of a project's asynchronous views is named."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from chassis.ownership import asynchronous
from chassis.rest import doorstep
from django.core.checks import run_checks
from django.core.handlers.asgi import ASGIHandler
from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from django.views import View

FENCE = "chassis.ownership.fence.FenceMiddleware"
application = ASGIHandler  # an ASGI application that is not Django's handler itself
django = ASGIHandler()
guarded, guarded_application = doorstep.guarded_asgi(django), doorstep.guarded_asgi(application)


async def plain(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


@transaction.non_atomic_requests
async def exempt(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


def synchronous(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


class Based(View):
    async def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse()


urlpatterns = [
    path("plain", plain),
    path("nested/", include([path("based/<int:pk>", Based.as_view()), path("exempt", exempt)])),
    path("synchronous", synchronous),
]
Atomic = Callable[[bool], None]

pytestmark = pytest.mark.urls("test_asynchronous")


@pytest.fixture(autouse=True)
def fenced(settings: Any) -> None:
    settings.MIDDLEWARE = [FENCE]
    settings.ASGI_APPLICATION = None


@pytest.fixture
def atomic(monkeypatch: pytest.MonkeyPatch) -> Atomic:
    def put(on: bool) -> None:
        for alias in connections:
            monkeypatch.setitem(connections.settings[alias], "ATOMIC_REQUESTS", on)

    put(False)
    return put


def found() -> dict[str, str]:
    numbers = ("E010", "W011", "W012", "E013", "W014", "W015")
    ids = {f"chassis.{number}": number for number in numbers}
    return {ids[str(each.id)]: each.msg for each in run_checks(tags=["chassis"]) if each.id in ids}


def test_views_that_django_would_refuse_are_named(atomic: Atomic) -> None:
    atomic(True)

    aliases = set(connections) - {DEFAULT_DB_ALIAS}  # from which `exempt` is not exempt
    also = ", /nested/exempt" if aliases else ""
    assert found()["E010"].endswith(f"with 500: /plain, /nested/based/<int:pk>{also}")


def test_views_without_a_transaction_are_named(atomic: Atomic) -> None:
    messages = found()

    assert "E010" not in messages
    assert messages["W011"].endswith(": /nested/exempt")


def test_views_that_keep_their_place_are_named(atomic: Atomic, settings: Any) -> None:
    assert "W012" not in found()
    settings.MIDDLEWARE = [asynchronous.ADMISSION, FENCE]

    assert found()["W012"].endswith(": /plain, /nested/based/<int:pk>, /nested/exempt")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("test_asynchronous.django", {"W015"}),
        ("test_asynchronous.guarded", {"W015"}),
        ("test_asynchronous.application", {"W014", "W015"}),
        ("test_asynchronous.guarded_application", {"W014", "W015"}),
        ("test_asynchronous.nothing", {"E013"}),
    ],
)
def test_what_is_around_django_is_named(
    atomic: Atomic, settings: Any, monkeypatch: pytest.MonkeyPatch, name: str, expected: set[str]
) -> None:
    monkeypatch.setitem(connections.settings[DEFAULT_DB_ALIAS], "CONN_MAX_AGE", 600)
    settings.ASGI_APPLICATION = name

    assert found().keys() - {"W011"} == expected


@pytest.mark.parametrize("session", [{"CONN_MAX_AGE": 0}, {"CONN_MAX_AGE": 600, "OPTIONS": {"pool": True}}])
def test_sessions_that_are_shared_or_closed_are_no_fault(
    atomic: Atomic, settings: Any, monkeypatch: pytest.MonkeyPatch, session: dict[str, Any]
) -> None:
    settings.ASGI_APPLICATION = "test_asynchronous.django"
    for key, value in session.items():
        monkeypatch.setitem(connections.settings[DEFAULT_DB_ALIAS], key, value)

    assert "W015" not in found()


def test_a_project_without_the_fence_is_not_looked_at(atomic: Atomic, settings: Any) -> None:
    settings.MIDDLEWARE = []

    assert found() == {}


def test_the_process_says_it_itself_once(
    atomic: Atomic, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    asynchronous.tell.cache_clear()
    for _ in range(2):
        with caplog.at_level(logging.ERROR):
            asynchronous.tell()

    records = [record for record in caplog.records if record.message == "asgi_not_covered"]
    assert [record.check for record in records] == ["chassis.W011"]
    assert "/nested/exempt" in records[0].detail
