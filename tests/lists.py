"""Long lists of cases: a part of them is run every day, and all of them by `make soak`. A conftest takes both hooks."""

from __future__ import annotations

import pytest

SAMPLE = 3  # every day one of so many cases of a long list is run
# Where two lists are crossed, the sample must not divide the length of the inner one: ``exhaustive(2)`` for three.


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "exhaustive(one_of=3): a long list of cases; every day some of them are run")
    config.addinivalue_line("markers", "soak: run by `make soak`")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    counts: dict[str, int] = {}
    for item in items:
        if marker := item.get_closest_marker("exhaustive"):
            name = item.nodeid.partition("[")[0]
            if counts.setdefault(name, 0) % (marker.args or (SAMPLE,))[0]:
                item.add_marker(pytest.mark.soak)
            counts[name] += 1
