"""Every test of a port runs against memory and against PostgreSQL: a promise holds for both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest
from benches import MemoryBench, PostgresBench
from servers import Cluster
from strangler.domain.project import MONOLITH, SERVICE


@pytest.fixture(scope="session")
def bench_databases(clusters: tuple[Cluster, Cluster]) -> Iterator[Mapping[str, str]]:
    """A database on each server, for all tests of this folder."""
    sides = dict(zip((MONOLITH, SERVICE), clusters, strict=True))
    for side, cluster in sides.items():
        cluster.create(f"bench_{side}")
    yield {side: cluster.dsn(f"bench_{side}") for side, cluster in sides.items()}
    for side, cluster in sides.items():
        cluster.drop(f"bench_{side}")


@pytest.fixture(params=["memory", "postgres"])
def bench(request: pytest.FixtureRequest) -> Iterator[MemoryBench | PostgresBench]:
    """Two sides of a move at epoch 1, the monolith open and the service closed, and no ledger yet."""
    if request.param == "memory":
        yield MemoryBench()
    else:
        made = PostgresBench(request.getfixturevalue("bench_databases"))
        yield made
        made.close()
