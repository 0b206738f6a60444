"""The gateway with a real Envoy between a client and two servers, one per side."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import urllib3
from envoys import Request, Side, eventually, free_port, running, says
from strangler.adapters import envoy
from strangler.domain.project import MONOLITH, SERVICE
from strangler.domain.route import Route
from strangler.domain.routing import ALL_TO_MONOLITH, ALL_TO_SERVICE, CapabilityRoutes, RouteTable

pytest.importorskip("envoy")

ROUTES = [
    Route(frozenset({"GET", "POST"}), "/things"),
    Route(frozenset({"GET", "PATCH"}), "/things/{id}"),
]


@dataclass
class Gateway:
    url: str
    admin: str
    directory: Path
    monolith: Side
    service: Side

    def request(self, method: str, path: str, **rest: object) -> urllib3.BaseHTTPResponse:
        return urllib3.request(method, self.url + path, retries=False, redirect=False, **rest)  # type: ignore[arg-type]

    def publish(self, version: str, *, reads: dict[str, int], writes: dict[str, int]) -> None:
        envoy.publish(self.directory, table(version, reads=reads, writes=writes))
        eventually(lambda: envoy.live_version(self.admin) == version)


def table(version: str, *, reads: dict[str, int], writes: dict[str, int]) -> RouteTable:
    things = CapabilityRoutes("things", ROUTES, {MONOLITH: "monolith", SERVICE: "things"}, reads, writes)
    return RouteTable(version, [things], default="monolith")


def bounce_to(side: str) -> Callable[[Request], tuple[int, dict[str, str], bytes]]:
    """Answers like the fence: 307 to the address that the client used, and the side that is the owner now."""

    def reply(request: Request) -> tuple[int, dict[str, str], bytes]:
        address = f"{request.headers['x-forwarded-proto']}://{request.headers['host']}{request.path}"
        return 307, {"location": address, "x-strangler-to": side}, b""

    return reply


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    directory = tmp_path_factory.mktemp("gateway")
    monolith, service = Side("monolith", says("monolith")), Side("things", says("service"))
    monolith.start()
    service.start()
    port, admin_port = free_port(), free_port()
    envoy.write_bootstrap(directory, port=port, admin_port=admin_port, access_log=directory / "access.log")
    envoy.publish_clusters(directory, {"monolith": monolith.address, "things": service.address})
    envoy.publish(directory, table("first", reads=ALL_TO_MONOLITH, writes=ALL_TO_MONOLITH))
    gateway = Gateway(f"http://127.0.0.1:{port}", f"http://127.0.0.1:{admin_port}", directory, monolith, service)
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
    stage.publish(f"monolith-{time.monotonic_ns()}", reads=ALL_TO_MONOLITH, writes=ALL_TO_MONOLITH)
    return stage


def test_a_post_of_500_kB_is_bounced_with_its_body_and_headers(gateway: Gateway) -> None:
    gateway.monolith.reply = bounce_to(SERVICE)
    before = envoy.bounces(gateway.admin)
    body = os.urandom(500_000)

    answer = gateway.request(
        "POST",
        "/things?colour=red",
        body=body,
        headers={"authorization": "Bearer abc", "idempotency-key": "k1", "content-type": "x/y"},
    )

    assert (answer.status, answer.data) == (200, b"service")
    [arrived] = gateway.service.requests
    assert (arrived.method, arrived.path, arrived.body) == ("POST", "/things?colour=red", body)
    assert arrived.headers["authorization"] == "Bearer abc"
    assert arrived.headers["idempotency-key"] == "k1"
    assert arrived.headers["content-type"] == "x/y"
    assert arrived.headers["host"] == gateway.url.removeprefix("http://")
    assert arrived.headers["x-forwarded-for"] == gateway.monolith.requests[0].headers["x-forwarded-for"]
    assert envoy.bounces(gateway.admin) == before + 1


def test_a_chunked_body_is_bounced(gateway: Gateway) -> None:
    gateway.monolith.reply = bounce_to(SERVICE)
    parts = [os.urandom(10_000) for _ in range(20)]

    answer = gateway.request("POST", "/things", body=iter(parts))

    assert (answer.status, answer.data) == (200, b"service")
    assert gateway.service.requests[0].body == b"".join(parts)


@pytest.mark.parametrize(("size", "status"), [(envoy.BUFFER_BYTES, 200), (envoy.BUFFER_BYTES + 1, 307)])
def test_only_a_body_that_fits_the_buffer_is_bounced(gateway: Gateway, size: int, status: int) -> None:
    gateway.monolith.reply = bounce_to(SERVICE)

    assert gateway.request("POST", "/things", body=bytes(size)).status == status


def test_a_body_over_the_buffer_passes_when_nothing_is_bounced(gateway: Gateway) -> None:
    body = os.urandom(3_000_000)

    assert gateway.request("POST", "/things", body=body).status == 200
    assert gateway.monolith.requests[0].body == body


def test_a_bounce_goes_back_when_the_owner_changed_again(gateway: Gateway) -> None:
    gateway.service.reply = bounce_to(MONOLITH)
    gateway.monolith.reply = lambda request: (
        (200, {}, b"at last") if "x-strangler-to" in request.headers else bounce_to(SERVICE)(request)
    )

    answer = gateway.request("PATCH", "/things/1", body=b"{}")

    assert (answer.status, answer.data) == (200, b"at last")


def test_bounces_end_after_the_fourth(gateway: Gateway) -> None:
    gateway.monolith.reply, gateway.service.reply = bounce_to(SERVICE), bounce_to(MONOLITH)

    answer = gateway.request("POST", "/things", body=b"{}")

    assert answer.status == 307
    assert len(gateway.monolith.requests) + len(gateway.service.requests) == 5


@pytest.mark.parametrize("name", ["x-strangler-to", "X-Strangler-To"])
def test_a_client_cannot_choose_the_side(gateway: Gateway, name: str) -> None:
    answer = gateway.request("POST", "/things", body=b"{}", headers={name: SERVICE})

    assert answer.data == b"monolith"
    [arrived] = gateway.monolith.requests
    assert "x-strangler-to" not in arrived.headers


def test_the_side_header_of_a_bounce_reaches_the_new_owner(gateway: Gateway) -> None:
    gateway.monolith.reply = bounce_to(SERVICE)

    gateway.request("POST", "/things", body=b"{}", headers={"x-strangler-to": MONOLITH})

    assert gateway.service.requests[0].headers["x-strangler-to"] == SERVICE


def test_an_application_s_own_307_reaches_the_client(gateway: Gateway) -> None:
    gateway.monolith.reply = lambda request: (307, {"location": f"{gateway.url}/elsewhere"}, b"")

    answer = gateway.request("POST", "/things", body=b"{}")

    assert (answer.status, answer.headers["location"]) == (307, f"{gateway.url}/elsewhere")
    assert len(gateway.monolith.requests) == 1


def test_a_post_whose_connection_is_reset_is_not_sent_again(gateway: Gateway) -> None:
    gateway.monolith.reply = lambda request: None

    answer = gateway.request("POST", "/things", body=b"{}")

    assert answer.status == 503
    assert len(gateway.monolith.requests) == 1


def test_a_refused_connection_is_tried_again_until_the_server_is_back(gateway: Gateway) -> None:
    gateway.monolith.stop()
    back = threading.Timer(0.3, gateway.monolith.start)
    back.start()

    answer = gateway.request("POST", "/things", body=b"{}")

    back.join()
    assert (answer.status, answer.data) == (200, b"monolith")
    assert len(gateway.monolith.requests) == 1


@pytest.mark.parametrize("status", [201, 302, 400, 404, 409, 500, 502, 503])
def test_answers_pass_unchanged(gateway: Gateway, status: int) -> None:
    gateway.monolith.reply = lambda request: (status, {"x-own": "yes", "location": "/there"}, b"words")

    answer = gateway.request("POST", "/things", body=b"{}")

    assert (answer.status, answer.headers["x-own"], answer.data) == (status, "yes", b"words")
    assert len(gateway.monolith.requests) == 1


def test_a_renamed_file_goes_live_without_a_failed_request(gateway: Gateway) -> None:
    failed: list[int] = []
    over = threading.Event()

    def ask() -> None:
        pool = urllib3.PoolManager(retries=False)
        while not over.is_set():
            status = pool.request("POST", f"{gateway.url}/things", body=b"{}").status
            if status != 200:
                failed.append(status)

    client = threading.Thread(target=ask)
    client.start()
    for number in range(10):
        to = ALL_TO_SERVICE if number % 2 == 0 else ALL_TO_MONOLITH
        side = gateway.service if number % 2 == 0 else gateway.monolith
        side.requests.clear()
        gateway.publish(f"flip-{number}", reads=dict(to), writes=dict(to))
        eventually(lambda side=side: len(side.requests) > 0)
    over.set()
    client.join()

    assert not failed


def test_reads_and_writes_have_weights_of_their_own(gateway: Gateway) -> None:
    gateway.publish("reads-only", reads=dict(ALL_TO_SERVICE), writes=dict(ALL_TO_MONOLITH))

    assert gateway.request("GET", "/things/7").data == b"service"
    assert gateway.request("HEAD", "/things/7").headers["content-length"] == str(len(b"service"))
    assert gateway.request("PATCH", "/things/7", body=b"{}").data == b"monolith"
    assert gateway.request("DELETE", "/things/7").data == b"monolith"
    assert gateway.request("GET", "/things/7/parts").data == b"monolith"


def test_a_share_of_the_reads_goes_to_each_side(gateway: Gateway) -> None:
    gateway.publish("canary", reads={MONOLITH: 50, SERVICE: 50}, writes=dict(ALL_TO_MONOLITH))

    answers = {gateway.request("GET", "/things").data for _ in range(60)}

    assert answers == {b"monolith", b"service"}


def logged(gateway: Gateway, request_id: str, *, count: int = 1) -> list[dict[str, object]]:
    """The log's lines of the requests of that id, as soon as there are so many."""
    log = gateway.directory / "access.log"

    def lines() -> list[dict[str, object]]:
        told = [json.loads(line) for line in log.read_text().splitlines()]
        return [line for line in told if line["request_id"] == request_id]

    eventually(lambda: len(lines()) == count)
    return lines()


def test_the_access_log_shows_both_halves_of_a_bounce(gateway: Gateway) -> None:
    gateway.monolith.reply = bounce_to(SERVICE)
    gateway.request("POST", "/things", body=b"{}", headers={"x-request-id": "bounced"})

    lines = logged(gateway, "bounced", count=2)

    assert [line["status"] for line in lines] == [307, 200]
    assert [line["details"] for line in lines] == ["internal_redirect", "via_upstream"]
    assert {line["side"] for line in lines} == {SERVICE}
    assert {line["bounced_to"] for line in lines} == {SERVICE}
    assert {(line["capability"], line["route"]) for line in lines} == {("things", "/things")}


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/things/7?mail=anna@post.example&token=opensesame", "/things/7"),
        ("/things/anna@post.example", "***"),
        ("/things/anna%40post.example", "***"),
        ("/things/0123456789abcdefghij", "***"),
        ("/things/5f0c0b0e-71a5-4a0f-9d3c-2a1b0c9d8e7f", "/things/5f0c0b0e-71a5-4a0f-9d3c-2a1b0c9d8e7f"),
    ],
)
def test_the_access_log_has_a_path_only_where_it_tells_nothing_of_a_person(
    gateway: Gateway, path: str, told: str
) -> None:
    request_id = f"path{len(path)}"
    gateway.request("GET", path, headers={"x-request-id": request_id})

    [line] = logged(gateway, request_id)

    assert line["path"] == told
    assert not [word for word in ("post.example", "opensesame", "127.0.0.1") if word in json.dumps(line)]


def test_an_id_that_is_not_plain_is_not_logged(gateway: Gateway) -> None:
    gateway.request("GET", "/things", headers={"x-request-id": "anna@post.example"})

    assert logged(gateway, "***")
