"""Fixtures for every test here: two servers, which are started once per session."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from depot import Depot, gone_at_the_end
from limited import Gateway, limited, renew
from servers import Cluster, running
from strangler.cli.main import main

from tests.lists import pytest_collection_modifyitems, pytest_configure

__all__ = ["pytest_collection_modifyitems", "pytest_configure"]  # hooks


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
def at(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs the command line in the folder of the project that the module's FILE describes; its stack is not up."""
    (tmp_path / "strangler.toml").write_text(request.module.FILE)
    monkeypatch.chdir(tmp_path)
    return lambda *words, **more: CliRunner().invoke(main, list(words), **more)


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
