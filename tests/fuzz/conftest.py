"""There is no way back from a move, so what is asked of the monolith comes first."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_is_after)


def _is_after(item: pytest.Item) -> bool:
    return hasattr(item, "callspec") and item.callspec.params.get("process") != "monolith"
