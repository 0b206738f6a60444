"""One side after the other: a test that takes ``api`` must hold on both."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.contract.sides import SIDES, Account, connect, fresh_email, sign_up


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
