"""What black-box suites share: one stack for the whole run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.copies import extracted
from tests.stack import Stack


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--extracted", action="store_true", help="the shop's services are those that `strangler extract` writes"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "soak: the same faults in every combination; `make soak` runs them")


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The shop with sample data, up; it is stopped at the end of the run, and no process of it is left."""
    folder = tmp_path_factory.mktemp("stack")
    made = Stack(folder)
    if request.config.getoption("--extracted"):
        made = Stack(folder, extracted.write(tmp_path_factory.mktemp("extracted")))
    with made.running() as found:
        yield found
