from __future__ import annotations

from collections.abc import Iterator

import pytest
from notes import SCHEMA, Service, serving
from servers import Cluster, Connection
from strangler.adapters.postgres.session.connection import connect


@pytest.fixture(scope="session")
def dsn(cluster: Cluster) -> Iterator[str]:
    """A database of the rehearsal's own, for the session."""
    cluster.create("notes")
    yield cluster.dsn("notes")
    cluster.drop("notes")


@pytest.fixture
def connection(dsn: str) -> Iterator[Connection]:
    """A session on empty tables."""
    session = connect(dsn, purpose="test", idle_ms=0)
    session.execute(SCHEMA)
    yield session
    session.close()


@pytest.fixture
def service(dsn: str, connection: Connection) -> Iterator[Service]:
    with serving(dsn) as running:
        yield running
