"""One side after the other: a test that takes ``api`` must hold on both."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.contract.sides import DATABASES, SIDES, Account, connect, fresh_email, sign_up


@pytest.fixture(scope="session", autouse=True)
def _addresses(request: pytest.FixtureRequest) -> None:
    """Where no addresses are given, a stack of the run's own, in which nothing has been moved."""
    if any(variable in os.environ for variable in SIDES.values()):
        return
    endpoints = request.getfixturevalue("stack").json("env")
    for side, name in {"monolith": "monolith", "service": "users"}.items():
        os.environ[SIDES[side]] = endpoints["addresses"][name]
        os.environ[DATABASES[side]] = endpoints["databases"][name]


@pytest.fixture(params=SIDES)
def api(request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    with connect(request.param) as client:
        yield client


@pytest.fixture
def register(api: httpx.Client) -> Callable[[], Account]:
    return lambda: sign_up(api, fresh_email())


@pytest.fixture
def account(register: Callable[[], Account]) -> Account:
    return register()
