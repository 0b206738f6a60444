from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from servers import Cluster
from yard import Yard, yard


@pytest.fixture
def ground(clusters: tuple[Cluster, Cluster], tmp_path: Path) -> Iterator[Yard]:
    """A project before its move: rows on one side, empty tables on the other."""
    with yard(clusters, tmp_path) as made:
        yield made


@pytest.fixture
def moving(ground: Yard) -> Yard:
    """Its move has been started and verified; the monolith owns."""
    ground.start()
    ground.verify()
    return ground
