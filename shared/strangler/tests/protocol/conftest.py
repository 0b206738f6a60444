from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
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
    """A project whose move has been started and verified; the monolith is the owner."""
    ground.start()
    ground.verify()
    return ground


@pytest.fixture
def roles(clusters: tuple[Cluster, Cluster]) -> Iterator[tuple[str, str]]:
    """A role for the tool and one for the application, on both servers, without special rights."""
    for cluster in clusters:
        with cluster.connect() as connection:
            for name in ("mover", "clerk"):
                connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{name}'".encode())
    yield "mover", "clerk"
    for cluster in clusters:
        with cluster.connect() as connection:
            for name in ("mover", "clerk"):
                connection.execute(f"REVOKE ALL ON PARAMETER session_replication_role FROM {name}".encode())
                connection.execute(f"DROP OWNED BY {name}; DROP ROLE {name}".encode())


@pytest.fixture
def owned(clusters: tuple[Cluster, Cluster], roles: tuple[str, str], tmp_path: Path) -> Iterator[Yard]:
    """The tables are the clerk's, and the tool connects as the mover."""
    with yard(clusters, tmp_path, owner="clerk") as made:
        for side in ("monolith", "service"):
            with made.side(side) as connection:
                connection.execute("GRANT clerk TO mover")
        databases = {
            name: cluster.dsn(database, user="mover")
            for name, cluster, database in zip(("yard", "depot"), clusters, made.databases, strict=True)
        }
        yield replace(made, endpoints=replace(made.endpoints, databases=databases))
