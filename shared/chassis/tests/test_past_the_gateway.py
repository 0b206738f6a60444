"""What a client cannot make a process behind the gateway believe: a real Envoy before a real gunicorn."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import postgres_node
import pytest
from library.gateway import Gateway
from library.programs import MIGRATE, WEB, Running, run
from server_node import ServerNode
from strangler.adapters.envoy.headers import MOST_HEADERS, MOST_KIB

pytest.importorskip("envoy")

# From these gunicorn, Django, Envoy, or a program in their place derive path, name, scheme, address, method or user.
DERIVED = [
    "SCRIPT_NAME: /x", "script_name: /x", "X-Script-Name: /x", "X_SCRIPT_NAME: /x",
    "PATH_INFO: /metrics", "REMOTE_USER: admin", "REMOTE_ADDR: 203.0.113.7",
    "REQUEST_METHOD: GET", "HTTP_HOST: evil.example", "CONTENT_LENGTH: 5", "SERVER_NAME: evil.example",
    "X-Original-URL: /metrics", "X-Rewrite-URL: /metrics", "X-Original-URI: /metrics", "X-Original-Host: evil.example",
    "X-Envoy-Original-Path: /metrics", "X-Envoy-Original-Url: http://a/metrics", "X-Envoy-Original-Host: evil.example",
    "X-Envoy-Original-Dst-Host: 203.0.113.7:80", "X-Envoy-Internal: true", "X-Envoy-External-Address: 203.0.113.7",
    "X-Envoy-Max-Retries: 9", "X-Envoy-Retry-On: 5xx", "X-Envoy-Upstream-Rq-Timeout-Ms: 1",
    "X-Envoy-Expected-Rq-Timeout-Ms: 1", "X-Envoy-Attempt-Count: 9", "X-Envoy-Peer-Metadata: a",
    "X-Forwarded-For: 203.0.113.7", "X_Forwarded_For: 203.0.113.7", "X-Forwarded_For: 203.0.113.7",
    "X-Forwarded-Proto: https", "X_FORWARDED_PROTO: https", "X-Forwarded-Protocol: ssl", "X-Forwarded-Ssl: on",
    "X-Forwarded-Host: evil.example", "X-Forwarded-Port: 443", "X-Forwarded-Prefix: /x", "X-Forwarded-Server: evil",
    "X-Forwarded-Scheme: https", "X-Url-Scheme: https", "Front-End-Https: on", "Forwarded: for=203.0.113.7;proto=https",
    "X-Real-IP: 203.0.113.7", "True-Client-IP: 203.0.113.7", "X-Client-IP: 203.0.113.7",
    "X-Cluster-Client-IP: 203.0.113.7", "X-Host: evil.example",
    "X-Strangler-To: service", "X_Strangler_To: service", "X-Strangler-Capability: books", "X-Strangler-Forwarded: 1",
    "X-Strangler-Max-Body: 1", "X-Strangler-Anything: 1",
]  # fmt: skip


@pytest.fixture(scope="module")
def web(shared_server: ServerNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    shared_server.start()
    postgres_node.renew(shared_server)
    run(MIGRATE, DATABASE_URL=shared_server.url)
    log = tmp_path_factory.mktemp("web") / "web.log"
    with Running(WEB, log, DATABASE_URL=shared_server.url) as running:
        running.await_status("/readyz", 200)
        yield running


@pytest.fixture(scope="module")
def gateway(web: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("gateway")
    with Gateway(folder, here=f"http://127.0.0.1:{web.port}", other="http://127.0.0.1:1") as found:
        yield found


def request(path: str, *headers: str, method: str = "POST") -> bytes:
    return "\r\n".join(
        [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *headers, "Content-Length: 2", "", "{}"]
    ).encode()


def echoed(gateway: Gateway, *headers: str) -> dict[str, Any]:
    status, content = gateway.send(request("/books/echo", *headers))
    assert status == 201, content
    echo: dict[str, Any] = json.loads(content)
    del echo["headers"]["X-Request-Id"]
    return echo


@pytest.mark.parametrize("header", DERIVED)
def test_what_a_client_says_of_his_way_changes_nothing_that_a_process_sees(gateway: Gateway, header: str) -> None:
    assert echoed(gateway, header) == echoed(gateway)


@pytest.mark.parametrize("header", [*DERIVED, "Script-Name: /x", "Path-Info: /metrics"])
@pytest.mark.parametrize("path", ["/metrics", "/admin/"])
def test_a_closed_path_stays_closed_whatever_a_client_says(gateway: Gateway, header: str, path: str) -> None:
    assert [gateway.send(request(f"{prefix}{path}", header, method="GET"))[0] for prefix in ("", "/x")] == [404, 404]


@pytest.mark.parametrize("header", [h for h in DERIVED if "Script" in h.title() or "_" in h or "-Original" in h])
def test_nor_does_a_process_believe_it_of_who_comes_past_the_gateway(
    web: Running, gateway: Gateway, header: str
) -> None:
    assert gateway.send(request("/x/metrics", header, method="GET"), port=web.port)[0] == 404


def test_ssl_that_a_client_speaks_of_is_no_contradiction(web: Running, gateway: Gateway) -> None:
    """Behind trusted proxies it may arrive: gunicorn would refuse the request."""
    said = ("X-Forwarded-Proto: http", "X-Forwarded-Ssl: on", "X-Forwarded-Protocol: ssl")

    status, content = gateway.send(request("/books/echo", *said), port=web.port)

    assert (status, json.loads(content)["address"][0]) == (201, "http")


@pytest.mark.parametrize("size", [1_000, 8_500, (MOST_KIB << 10) - 1_000, (MOST_KIB << 10) + 1_000])
def test_a_header_that_the_gateway_lets_in_no_process_refuses(gateway: Gateway, size: int) -> None:
    status, _ = gateway.send(request("/books/echo", f"Authorization: {'a' * size}"))

    assert status == (201 if size < MOST_KIB << 10 else 431)


def test_as_many_headers_as_the_gateway_adds_are_there_for_all_that_it_lets_in(web: Running, gateway: Gateway) -> None:
    headers = [f"X-{number}: a" for number in range(MOST_HEADERS + 40)]

    assert gateway.send(request("/books/echo", *headers), port=web.port)[0] == 201


@pytest.mark.parametrize("path", ["/.strangler/deletions", "//.strangler/deletions", "/%2Estrangler%2Fdeletions"])
def test_what_the_sides_of_a_move_ask_each_other_is_asked_of_the_process_alone(
    web: Running, gateway: Gateway, path: str
) -> None:
    outside, within = (gateway.send(request(path), port=port) for port in (0, web.port))

    assert (outside[0], json.loads(outside[1])) == (404, {"detail": "Not found."})
    assert (within[0], within[1]) != outside or path.startswith("//")


SECRET = "s3cr3t-of-the-client"
UNREADABLE = {
    "line": f"GET /{SECRET} {SECRET} HTTP/1.1\r\n\r\n",
    "method": f"{SECRET} / HTTP/1.1\r\nHost: a\r\n\r\n",
    "small": f"get /{SECRET} HTTP/1.1\r\nHost: a\r\n\r\n",
    "version": f"GET / HTTP/{SECRET}\r\nHost: a\r\n\r\n",
    "name": f"GET / HTTP/1.1\r\nHost: a\r\n{SECRET} x: 1\r\n\r\n",
    "value": f"GET / HTTP/1.1\r\nHost: a\r\nX: {SECRET}\0\r\n\r\n",
    "folded": f"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n {SECRET}\r\n\r\n",
    "length": f"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {SECRET}\r\n\r\n",
    "coding": f"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: {SECRET}\r\n\r\n",
    "chunk": f"POST /books/echo HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n{SECRET}\r\n",
    "expectation": f"POST / HTTP/1.1\r\nHost: a\r\nExpect: {SECRET}\r\nContent-Length: 1\r\n\r\nx",
    "long": f"GET /{SECRET * 500} HTTP/1.1\r\nHost: a\r\n\r\n",
    "large": f"GET / HTTP/1.1\r\nHost: a\r\nX: {SECRET * 4000}\r\n\r\n",
}


@pytest.mark.parametrize("raw", UNREADABLE.values(), ids=list(UNREADABLE))
def test_who_sends_what_cannot_be_read_is_told_nothing_of_it(web: Running, gateway: Gateway, raw: str) -> None:
    status, content = gateway.send(raw.encode("latin-1"), port=web.port)

    assert 400 <= status <= 501
    assert SECRET.encode() not in content
    assert json.loads(content).keys() == {"detail"}
    assert len(content) < 100


@pytest.mark.parametrize(("length", "status"), [(8_000, 201), (8_500, 414)])
def test_an_address_has_a_length_of_8_KB_at_most(gateway: Gateway, length: int, status: int) -> None:
    answered, content = gateway.send(request(f"/books/echo?q={'a' * length}"))

    assert answered == status, content


@pytest.mark.parametrize(("path", "told"), [("/readyz", b'{"status": "ready"}'), ("/healthz", b'{"status": "alive"}')])
def test_of_its_health_a_process_tells_the_status(gateway: Gateway, path: str, told: bytes) -> None:
    assert gateway.send(request(path, method="GET")) == (200, told)
