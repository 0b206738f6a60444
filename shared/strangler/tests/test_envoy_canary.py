"""Reads that are shared, with a real Envoy between a client and two servers: who goes where, and stays there."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import urllib3
from envoys import Request, Side, eventually, free_port, running, says
from strangler.adapters import envoy
from strangler.domain.project import MONOLITH, SERVICE, Sharing
from strangler.domain.route import Route
from strangler.domain.routing import ALL_TO_MONOLITH, CapabilityRoutes, RouteTable

pytest.importorskip("envoy")

ROUTES = [
    Route(frozenset({"GET", "POST"}), "/things"),
    Route(frozenset({"GET", "PATCH"}), "/things/{id}", timeout=3.0),
]
CUSTOMERS = 400
numbers = itertools.count()


@dataclass
class Gateway:
    url: str
    admin: str
    directory: Path
    monolith: Side
    service: Side

    def ask(self, path: str = "/things", method: str = "GET", **headers: str) -> urllib3.BaseHTTPResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return urllib3.request(method, self.url + path, headers=named, retries=False, redirect=False)

    def share(self, weight: int, sharing: Sharing | None = None) -> None:
        reads = {MONOLITH: 100 - weight, SERVICE: weight}
        things = CapabilityRoutes(
            "things", ROUTES, {MONOLITH: "monolith", SERVICE: "things"}, reads, ALL_TO_MONOLITH, epoch=3
        )
        version = f"{weight}-{next(numbers)}"
        envoy.publish(self.directory, RouteTable(version, [things], default="monolith", sharing=sharing or Sharing()))
        eventually(lambda: envoy.live_version(self.admin) == version)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    directory = tmp_path_factory.mktemp("gateway")
    monolith, service = Side("monolith", says("monolith")), Side("things", says("service"))
    monolith.start()
    service.start()
    port, admin_port = free_port(), free_port()
    envoy.write_bootstrap(directory, port=port, admin_port=admin_port, access_log=directory / "access.log")
    envoy.publish_clusters(directory, {"monolith": monolith.address, "things": service.address})
    gateway = Gateway(f"http://127.0.0.1:{port}", f"http://127.0.0.1:{admin_port}", directory, monolith, service)
    things = CapabilityRoutes(
        "things", ROUTES, {MONOLITH: "monolith", SERVICE: "things"}, ALL_TO_MONOLITH, ALL_TO_MONOLITH
    )
    envoy.publish(directory, RouteTable("first", [things], default="monolith"))
    try:
        with running(directory, admin_port):
            yield gateway
    finally:
        monolith.stop()
        service.stop()


@pytest.fixture
def gateway(stage: Gateway) -> Gateway:
    for side, name in ((stage.monolith, "monolith"), (stage.service, "service")):
        side.reply = says(name)
        side.requests.clear()
    return stage


def cookie(answer: urllib3.BaseHTTPResponse) -> str:
    found = re.match(r"(strangler-reads=[^;]+);", answer.headers.get("set-cookie", ""))
    assert found, answer.headers
    return found[1]


@pytest.mark.parametrize("weight", [0, 1, 10, 50, 100])
def test_so_many_new_customers_are_answered_by_the_copy_and_stay_there(gateway: Gateway, weight: int) -> None:
    gateway.share(weight)
    first = [gateway.ask() for _ in range(CUSTOMERS)]
    if weight == 0:
        assert {answer.data for answer in first} == {b"monolith"}
        assert not any("set-cookie" in answer.headers for answer in first)
        return
    at_the_copy = sum(answer.data == b"service" for answer in first)
    expected = CUSTOMERS * weight / 100
    assert abs(at_the_copy - expected) <= 5 * (expected * (100 - weight) / 100) ** 0.5 + 1e-9
    for answer in first:
        again = gateway.ask(cookie=f"a=b; {cookie(answer)}; c=d")
        assert again.data == answer.data
        assert "set-cookie" not in again.headers


def test_a_greater_weight_keeps_the_customers_that_the_copy_had(gateway: Gateway) -> None:
    gateway.share(20)
    customers = {cookie(answer): answer.data for answer in (gateway.ask() for _ in range(CUSTOMERS))}
    gateway.share(60)
    now = {kept: gateway.ask(cookie=kept).data for kept in customers}

    assert all(now[kept] == b"service" for kept, side in customers.items() if side == b"service")
    assert any(now[kept] == b"service" for kept, side in customers.items() if side == b"monolith")


def test_the_header_that_the_project_names_decides_where_it_is_there(gateway: Gateway) -> None:
    gateway.share(50, Sharing(header="authorization"))
    sides = {
        number: {gateway.ask(authorization=f"Bearer {number}").data for _ in range(3)} for number in range(CUSTOMERS)
    }

    assert all(len(side) == 1 for side in sides.values())
    at_the_copy = sum(side == {b"service"} for side in sides.values())
    assert CUSTOMERS * 0.35 < at_the_copy < CUSTOMERS * 0.65
    assert "set-cookie" in gateway.ask().headers


def test_writes_go_to_the_owner_at_any_weight_and_are_sent_once(gateway: Gateway) -> None:
    gateway.share(100)
    assert gateway.ask(method="POST").data == b"monolith"
    assert gateway.ask(method="POST", x_strangler_route="service").data == b"monolith"
    gateway.monolith.reply = lambda request: None
    gateway.monolith.requests.clear()
    assert gateway.ask(method="POST").status == 503
    assert len(gateway.monolith.requests) == 1


def test_a_tester_chooses_the_side(gateway: Gateway) -> None:
    gateway.share(1)
    assert {gateway.ask(x_strangler_route="service").data for _ in range(20)} == {b"service"}
    gateway.share(100)
    assert {gateway.ask(x_strangler_route="monolith").data for _ in range(20)} == {b"monolith"}
    assert gateway.ask(x_strangler_route="elsewhere").data == b"service"


def test_a_project_can_do_without_testers(gateway: Gateway) -> None:
    gateway.share(1, Sharing(testers=False))
    assert sum(gateway.ask(x_strangler_route="service").data == b"service" for _ in range(50)) < 10


def test_only_the_gateway_says_that_a_read_is_the_copys(gateway: Gateway) -> None:
    gateway.share(50)
    for _ in range(20):
        gateway.ask(x_strangler_reads="everything", x_strangler_position="things:abc")
    assert all(request.headers.get("x-strangler-reads") == "things" for request in gateway.service.requests)
    assert all("x-strangler-reads" not in request.headers for request in gateway.monolith.requests)
    assert all(
        request.headers["x-strangler-position"] == "things:abc"
        for request in [*gateway.service.requests, *gateway.monolith.requests]
    )


def bounced(request: Request) -> tuple[int, dict[str, str], bytes]:
    address = f"{request.headers['x-forwarded-proto']}://{request.headers['host']}{request.path}"
    return 307, {"location": address, "x-strangler-to": MONOLITH, "x-strangler-capability": "things"}, b""


def test_a_copy_leads_a_read_to_the_owner_inside_the_gateway(gateway: Gateway) -> None:
    gateway.share(100)
    gateway.service.reply = bounced
    answer = gateway.ask("/things/7?x=%2F")

    assert (answer.status, answer.data) == (200, b"monolith")
    [arrived] = gateway.monolith.requests
    assert (arrived.path, arrived.headers["x-strangler-to"]) == ("/things/7?x=%2F", MONOLITH)


def test_a_read_whose_connection_breaks_at_the_copy_is_answered_by_the_owner(gateway: Gateway) -> None:
    gateway.share(100)
    gateway.service.reply = lambda request: None
    answers = [gateway.ask() for _ in range(50)]

    assert {(answer.status, answer.data) for answer in answers} == {(200, b"monolith")}


def test_a_read_at_a_copy_that_stands_still_is_answered_by_the_owner(gateway: Gateway) -> None:
    gateway.share(100)
    gateway.service.reply = lambda request: time.sleep(2) or (200, {}, b"late")  # type: ignore[func-returns-value]
    answer = gateway.ask("/things/7")  # of three seconds

    assert (answer.status, answer.data) == (200, b"monolith")


def test_a_copy_that_has_gone_costs_no_read(gateway: Gateway) -> None:
    gateway.share(100)
    gateway.service.stop()
    try:
        answers = [gateway.ask() for _ in range(50)]
        assert {(answer.status, answer.data) for answer in answers} == {(200, b"monolith")}
    finally:
        gateway.service.start()
    eventually(lambda: gateway.ask().data == b"service")
