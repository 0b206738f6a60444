"""Whom a throttle takes for the same client."""

from __future__ import annotations

from typing import Any

import pytest
from chassis.database import counts
from chassis.process import body
from chassis.rest.throttles import AnonThrottle, ClientThrottle, UserThrottle
from django.contrib.auth.models import AnonymousUser, User
from django.core.handlers.wsgi import WSGIRequest
from django.test import RequestFactory
from rest_framework.request import Request


class View:
    throttle_scope = "token"


@pytest.fixture(autouse=True)
def no_counts(settings: Any) -> None:
    settings.CHASSIS_COUNTS = "process"
    counts.memory.clear()


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ClientThrottle, "THROTTLE_RATES", {"token": "2/min"})


def ask(address: str) -> bool:
    request = Request(RequestFactory().get("/", headers={"x-forwarded-for": address}))
    return ClientThrottle().allow_request(request, View())


def test_all_addresses_of_a_network_have_one_rate(two: None) -> None:
    assert [ask(f"2001:db8::{number}") for number in range(3)] == [True, True, False]
    assert ask("2001:db8:0:1::")


def test_addresses_of_version_4_have_each_their_own(two: None) -> None:
    assert [ask("10.0.0.1") for _ in range(3)] == [True, True, False]
    assert ask("10.0.0.2")


def test_who_is_refused_is_told_when_to_come_again(two: None) -> None:
    throttles = [ClientThrottle() for _ in range(3)]

    allowed = [throttle.allow_request(Request(RequestFactory().get("/")), View()) for throttle in throttles]

    assert allowed == [True, True, False]
    assert 1 <= (throttles[2].wait() or 0) <= 60


def test_a_request_that_is_run_again_counts_once(two: None) -> None:
    """In a move it may meet a fence; a client that has one request left must not be refused for that."""
    came = RequestFactory().get("/")
    assert isinstance(came, WSGIRequest)
    received = body.of(came)

    runs = [ClientThrottle().allow_request(Request(received.again(came)), View()) for _ in range(5)]

    assert runs == [True] * 5
    assert [ask("127.0.0.1") for _ in range(2)] == [True, False]


@pytest.mark.parametrize(("throttle", "scope"), [(AnonThrottle, "anon"), (UserThrottle, "user")])
def test_rates_for_all_views_are_shared_too(monkeypatch: pytest.MonkeyPatch, throttle: Any, scope: str) -> None:
    monkeypatch.setattr(throttle, "THROTTLE_RATES", {scope: "2/min"})

    def allowed(user: Any, address: str) -> bool:
        request = Request(RequestFactory().get("/", headers={"x-forwarded-for": address}))
        request.user = user
        return bool(throttle().allow_request(request, View()))

    assert [allowed(AnonymousUser(), f"2001:db8::{number}") for number in range(3)] == [True, True, False]
    ada = [allowed(User(pk=7), f"10.0.0.{number}") for number in range(3)]
    assert ada == ([True, True, False] if throttle is UserThrottle else [True] * 3)
