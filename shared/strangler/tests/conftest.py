"""Fixtures for every test here: two servers, which are started once per session."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from depot import Depot, gone_at_the_end
from limited import Gateway, limited, renew
from servers import Cluster, running


@pytest.fixture(scope="session")
def clusters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cluster, Cluster]]:
    """Two servers, for the databases of the monolith and the service are on two."""
    folder = tmp_path_factory.mktemp("clusters")
    with running("one", folder) as one, running("two", folder) as two:
        yield one, two


@pytest.fixture(scope="session")
def cluster(clusters: tuple[Cluster, Cluster]) -> Cluster:
    """The first of the two."""
    return clusters[0]


@pytest.fixture
def depot(tmp_path: Path) -> Iterator[Depot]:
    with gone_at_the_end(Depot(tmp_path)) as made:
        yield made


@pytest.fixture
def brokered(tmp_path: Path) -> Iterator[Depot]:
    with gone_at_the_end(Depot(tmp_path, broker=True)) as made:
        yield made


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway for a file's tests."""
    with limited(tmp_path_factory.mktemp("gateway")) as made:
        yield made


@pytest.fixture
def gateway(stage: Gateway) -> Gateway:
    """The same gateway, in the state of a new one."""
    renew(stage)
    return stage
