"""Whom a throttle takes for the same client."""

from __future__ import annotations

from typing import Any

import pytest
from chassis.rest.throttles import ClientThrottle
from django.core.cache import cache
from django.test import RequestFactory
from rest_framework.request import Request


class View:
    throttle_scope = "token"


@pytest.fixture(autouse=True)
def fresh() -> Any:
    cache.clear()
    yield
    cache.clear()


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
