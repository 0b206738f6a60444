"""`strangler render k8s`, before and after a move."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from controller import answering, behind_ingress
from envoys import Side, says
from gatekeeper import Gatehouse
from servers import Cluster
from strangler.domain.project import MONOLITH, SERVICE

DATABASE = "rendered"


@pytest.fixture
def house(cluster: Cluster, tmp_path: Path) -> Iterator[Gatehouse]:
    cluster.create(DATABASE)
    yield Gatehouse(tmp_path, cluster, DATABASE, {MONOLITH: Side("web", says("")), SERVICE: Side("things", says(""))})
    cluster.drop(DATABASE)


def render(house: Gatehouse, *words: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "strangler.cli.main", "render", "k8s", *words],
        env={**os.environ, **house.environment, "THINGS_URL": "http://things:8001"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return list(yaml.safe_load_all(done.stdout))


def test_it_needs_no_ledger_and_makes_none(house: Gatehouse) -> None:
    documents = render(house)

    *routes, ingress = documents
    assert {document["kind"] for document in routes} == {"HTTPRoute"}
    assert answering(routes, "POST", "/things") == {"web": 100}
    assert behind_ingress(ingress, "/things") == "web"
    assert house.agents() == {}
    with house.cluster.connect(DATABASE) as connection:
        assert connection.execute("SELECT to_regnamespace('strangler')").fetchone() == (None,)


def test_after_a_move_it_leads_to_the_service_at_its_port(house: Gatehouse) -> None:
    house.give_to(SERVICE)

    [ingress] = render(house, "--kind", "ingress")
    routes = render(house, "--kind", "httproute", "--gateway", "infra/public")

    assert answering(routes, "POST", "/things") == {"things": 100}
    assert behind_ingress(ingress, "/things") == "things"
    assert routes[0]["spec"]["rules"][0]["backendRefs"] == [{"name": "things", "port": 8001, "weight": 100}]
