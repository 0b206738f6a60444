"""What black-box suites share: one stack for the whole run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.stack import Stack


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "soak: the same faults in every combination; `make soak` runs them")


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The shop with sample data, up; it is stopped at the end of the run, and no process of it is left."""
    with Stack(tmp_path_factory.mktemp("stack")).running() as found:
        yield found
