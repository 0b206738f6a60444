"""The library's own tests are run by the library."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.elsewhere.road import Road, begun

collect_ignore = ["library"]


@pytest.fixture(scope="session")
def laid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Road]:
    """The library, after what the page has under "The road in short" was typed until the stack is up."""
    with begun(tmp_path_factory.mktemp("elsewhere") / "library") as made:
        yield made


@pytest.fixture(scope="session")
def road(laid: Road) -> Road:
    """The same, after the rest was typed."""
    while laid.left:
        laid.type_next()
    return laid
