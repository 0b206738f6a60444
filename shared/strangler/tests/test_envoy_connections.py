"""Envoy gives up its connections to the servers behind it at a certain age, and loses no request."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path

import pytest
import urllib3
from envoys import Request, Side, eventually, free_port, running
from strangler.adapters import envoy
from strangler.adapters.envoy import clusters
from strangler.domain.route import Route
from strangler.domain.routing import ALL_TO_MONOLITH, CapabilityRoutes, RouteTable

pytest.importorskip("envoy")

CLIENTS = 8
TABLE = RouteTable(
    "first",
    [CapabilityRoutes("things", [Route(frozenset({"POST"}), "/things")], {"monolith": "web"}, *[ALL_TO_MONOLITH] * 2)],
    default="web",
)


def slowly(_: Request) -> tuple[int, dict[str, str], bytes]:
    """Sometimes longer than a connection may live."""
    time.sleep(random.choice([0.0, 0.0, 0.0, 0.05, 0.3]))
    return 200, {}, b"done"


def test_no_post_fails_when_connections_come_to_their_age_under_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusters, "UPSTREAM_AGE", "0.1s")
    web, port, admin_port = Side("web", slowly), free_port(), free_port()
    web.start()
    envoy.publish(tmp_path, TABLE)
    envoy.publish_clusters(tmp_path, {"web": web.address})
    envoy.write_bootstrap(tmp_path, port=port, admin_port=admin_port, access_log=None)
    outcomes: list[int | str] = []
    over = threading.Event()

    def send() -> None:
        pool = urllib3.PoolManager(retries=False)
        while not over.is_set():
            try:
                outcomes.append(pool.request("POST", f"http://127.0.0.1:{port}/things", body=b"{}").status)
            except urllib3.exceptions.HTTPError as error:
                outcomes.append(repr(error))

    with running(tmp_path, admin_port):
        senders = [threading.Thread(target=send) for _ in range(CLIENTS)]
        for sender in senders:
            sender.start()
        eventually(lambda: len(web.clients) > 20 * CLIENTS, 60)
        over.set()
        for sender in senders:
            sender.join()
        counted = urllib3.request(
            "GET", f"http://127.0.0.1:{admin_port}/stats?filter=upstream_cx_max_duration"
        ).data.decode()
    web.stop()

    assert set(outcomes) == {200}
    assert len(web.requests) == len(outcomes)
    assert int(counted.rpartition(":")[2]) > 10 * CLIENTS


def test_a_connection_is_gone_before_a_server_that_is_taken_out_ends(tmp_path: Path) -> None:
    envoy.publish_clusters(tmp_path, {"web": "http://web:8000"})

    assert (tmp_path / envoy.CLUSTERS_FILE).read_text().count('"10s"') == 2
