"""One stack and one browser for all tests here; those of moves come first, and the others see what these have left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.browser import chromium
from tests.browser.chromium import Visit
from tests.browser.shopper import Shopper
from tests.stack import UP_SECONDS, Stack

# What a person would set who wants to see which side answers.
TELLING = {"GATEWAY_TELL_SIDES": "1", "RIBBON": "1", "API_SECONDS": "8"}


class TellingStack(Stack):
    def up(self) -> None:
        self.run("up", "--detach", "--data", "sample", seconds=UP_SECONDS, **TELLING)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if why := chromium.missing():
        for item in items:
            if "tests/browser" in item.path.as_posix():
                item.add_marker(pytest.mark.skip(reason=why))


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The shop with sample data, whose answers say which side they come from."""
    with TellingStack(tmp_path_factory.mktemp("stack")).running() as found:
        yield found


@pytest.fixture(scope="session")
def storefront(stack: Stack) -> str:
    address: str = stack.environment()["addresses"]["storefront"]
    return address


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    with chromium.started() as found:
        yield found


@pytest.fixture
def visit(browser: Any, storefront: str) -> Iterator[Callable[..., Visit]]:
    """Opens windows, which are closed at the end."""
    opened: list[Visit] = []

    def open_(**settings: Any) -> Visit:
        opened.append(Visit(browser, storefront, **settings))
        return opened[-1]

    yield open_
    for each in opened:
        each.close()


@pytest.fixture
def shopper(visit: Callable[..., Visit]) -> Shopper:
    return Shopper(visit())
