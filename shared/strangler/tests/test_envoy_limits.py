"""Requests that a real Envoy lets through: how large, how slow and how long they may be."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
import urllib3
from envoys import Request, eventually
from limited import MIB, ROUTE_SECONDS, Gateway, bounce, short_of_memory
from strangler.adapters import envoy
from strangler.adapters.envoy import bootstrap
from strangler.adapters.envoy.answers import DETAILS
from urllib3.exceptions import HTTPError

pytest.importorskip("envoy")

# ------------------------------------------------------------------------------------------------------ slow, and large


def test_a_body_that_is_not_whole_reaches_no_process(gateway: Gateway) -> None:
    with ExitStack() as senders:
        for _ in range(6):
            sender = senders.enter_context(gateway.connect())
            sender.sendall(b"POST /things HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nx")

        assert gateway.request("POST", "/things", body=b"{}").status == 200
        assert [request.body for request in gateway.monolith.requests] == [b"{}"]


@pytest.mark.parametrize(
    "begun", [b"POST /things HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nx", b"POST /things HTTP/1.1\r\nHo"]
)
def test_a_request_that_does_not_come_to_its_end_is_given_up(gateway: Gateway, begun: bytes) -> None:
    with gateway.connect() as sender:
        sender.sendall(begun)

        assert sender.recv(1000).startswith((b"HTTP/1.1 408", b""))
    assert gateway.monolith.requests == []


def test_a_body_that_trickles_is_given_up(gateway: Gateway) -> None:
    with gateway.connect() as sender:
        sender.sendall(b"POST /things HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n")
        sender.settimeout(0.1)
        answer = b""
        for _ in range(600):
            try:
                answer = sender.recv(1000)
                break
            except TimeoutError:
                sender.sendall(b"x")

    assert answer.startswith(b"HTTP/1.1 408")
    assert gateway.monolith.requests == []


@pytest.mark.parametrize(
    ("path", "size", "status"),
    [
        ("/things/small", 1000, 200),
        ("/things/small", 1001, 413),
        ("/things", MIB, 200),
        ("/things", MIB + 1, 200),
        ("/things", 16 * MIB, 200),
        ("/things", 16 * MIB + 1, 413),
        ("/elsewhere", 16 * MIB + 1, 413),
        ("/things/large", 20 * MIB, 200),
        ("/things/large", 20 * MIB + 1, 413),
    ],
)
def test_each_route_has_its_largest_body(gateway: Gateway, path: str, size: int, status: int) -> None:
    body = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n".encode()
    body += bytes(size) if status == 200 else b""

    assert gateway.send(body)[0].status == status
    assert [len(request.body) for request in gateway.monolith.requests] == ([size] if status == 200 else [])


@pytest.mark.parametrize(("size", "status"), [(1000, 200), (1001, 413)])
def test_a_small_limit_holds_for_bodies_of_unsaid_length(gateway: Gateway, size: int, status: int) -> None:
    assert gateway.request("POST", "/things/small", body=iter([bytes(size)])).status == status
    assert len(gateway.monolith.requests) == (status == 200)


@pytest.mark.parametrize(
    ("path", "limit"), [("/things", 16 * MIB), ("/things/large", 20 * MIB), ("/things/small", 1000), ("/x", 16 * MIB)]
)
def test_a_process_is_told_how_much_its_route_may_be_sent(gateway: Gateway, path: str, limit: int) -> None:
    gateway.request("POST", path, body=iter([bytes(1000)]), headers={"x-strangler-max-body": "99999999"})

    assert gateway.monolith.requests[0].headers["x-strangler-max-body"] == str(limit)


def test_a_large_body_that_says_its_length_is_refused_before_it_comes(gateway: Gateway) -> None:
    answer, _ = gateway.send(
        f"POST /things/large HTTP/1.1\r\nHost: a\r\nContent-Length: {20 * MIB + 1}\r\n\r\n".encode()
    )

    assert answer.status == 413
    assert gateway.monolith.requests == []


def test_more_connections_than_it_can_bear_are_refused_and_the_others_served(gateway: Gateway) -> None:
    with ExitStack() as clients:
        kept = gateway.connect()
        clients.enter_context(kept)
        kept.sendall(b"GET /things HTTP/1.1\r\nHost: a\r\n\r\n")
        assert kept.recv(1000).startswith(b"HTTP/1.1 200")
        for _ in range(120):
            clients.enter_context(gateway.connect())

        kept.sendall(b"GET /things HTTP/1.1\r\nHost: a\r\n\r\n")
        assert kept.recv(1000).startswith(b"HTTP/1.1 200")
        assert urllib3.request("GET", f"{gateway.admin}/ready", retries=False).status == 200


def test_memory_that_becomes_short_is_taken_from_those_who_have_stopped_sending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "IDLE_IN_NEED", "1s")
    with short_of_memory(tmp_path) as gateway, ExitStack() as senders:
        for _ in range(60):
            sender = senders.enter_context(gateway.connect())
            sender.settimeout(5)
            with suppress(OSError):
                sender.sendall(f"POST /things HTTP/1.1\r\nHost: a\r\nContent-Length: {MIB}\r\n\r\n".encode())
                sender.sendall(bytes(MIB - 1))

        eventually(lambda: _answers(gateway), 30)
        eventually(lambda: "rq_idle_timeout: 0" not in _idle(gateway), 30)
        assert {len(request.body) for request in gateway.monolith.requests} == {1000}


def _answers(gateway: Gateway) -> bool:
    """In need any connection may be ended, too."""
    try:
        return gateway.request("POST", "/things", body=bytes(1000)).status == 200
    except (OSError, HTTPError):
        return False


def _idle(gateway: Gateway) -> str:
    answer = urllib3.request("GET", f"{gateway.admin}/stats?filter=gateway.downstream_rq_idle_timeout")
    return answer.data.decode()


# ------------------------------------------------------------------------------------------------------------- how long


def after(seconds: float) -> object:
    def reply(_: Request) -> tuple[int, dict[str, str], bytes]:
        time.sleep(seconds)  # the test is about a time
        return 200, {}, b"done"

    return reply


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/things", 504),
        ("/things/other", 504),
        ("/things/slow", 200),
        ("/things/endless", 200),
        ("/reports/brief", 504),
        ("/reports/yearly", 200),
    ],
)
def test_each_route_has_its_time(gateway: Gateway, path: str, status: int) -> None:
    gateway.monolith.reply = after(2.5 * ROUTE_SECONDS)  # type: ignore[assignment]

    assert gateway.request("GET", path, timeout=60).status == status


def test_a_process_is_told_how_long_its_route_may_take(gateway: Gateway) -> None:
    for path in ("/things", "/things/slow", "/elsewhere"):
        gateway.request("GET", path, headers={"x-envoy-expected-rq-timeout-ms": "5"})

    told = [request.headers.get("x-envoy-expected-rq-timeout-ms") for request in gateway.monolith.requests]
    assert told == ["1000", "20000", None]


class Raw:
    """A server for one connection, for answers that are not plain."""

    def __enter__(self) -> Raw:
        self.listener = socket.create_server(("127.0.0.1", 0))
        return self

    def __exit__(self, *_: object) -> None:
        self.listener.close()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def accept(self) -> socket.socket:
        self.listener.settimeout(30)
        connection, _ = self.listener.accept()
        connection.settimeout(30)
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += connection.recv(1)
        self.head = head.lower()
        return connection


@pytest.fixture
def raw(gateway: Gateway) -> Iterator[Raw]:
    """In the monolith's place."""
    with Raw() as server:
        envoy.publish_clusters(gateway.directory, {"monolith": server.address, "things": gateway.service.address})
        port = server.address.rpartition(":")[2]
        eventually(lambda: port in urllib3.request("GET", f"{gateway.admin}/clusters").data.decode())
        yield server
    envoy.publish_clusters(gateway.directory, {"monolith": gateway.monolith.address, "things": gateway.service.address})
    port = gateway.monolith.address.rpartition(":")[2]
    eventually(lambda: f":{port}::" in urllib3.request("GET", f"{gateway.admin}/clusters").data.decode())


def test_events_pass_one_by_one_for_as_long_as_they_come(gateway: Gateway, raw: Raw) -> None:
    with gateway.connect() as client:
        client.sendall(b"GET /events HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n")
        with raw.accept() as server:
            server.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
            for number in range(4):
                event = b"data: %d\n\n" % number
                server.sendall(event)
                got = b""
                while event not in got:
                    got += client.recv(1000)
                time.sleep(ROUTE_SECONDS / 2)  # in total longer than any other route may take


def test_a_websocket_passes_in_both_directions(gateway: Gateway, raw: Raw) -> None:
    with gateway.connect() as client:
        client.sendall(
            b"GET /live HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n\r\n"
        )
        with raw.accept() as server:
            assert b"upgrade: websocket" in raw.head
            server.sendall(b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += client.recv(1)
            assert head.startswith(b"HTTP/1.1 101")
            time.sleep(1.5 * ROUTE_SECONDS)
            client.sendall(b"ping")
            assert server.recv(100) == b"ping"
            server.sendall(b"pong")
            assert client.recv(100) == b"pong"


UPGRADE = b"Host: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"


@pytest.mark.parametrize(
    "begun",
    [
        b"POST /things HTTP/1.1\r\n" + UPGRADE + b"Content-Length: 1000\r\n\r\nx",
        b"POST /things HTTP/1.1\r\n" + UPGRADE + b"Transfer-Encoding: chunked\r\n\r\n5\r\nx",
        b"POST /things HTTP/1.1\r\n" + UPGRADE + b"\r\n",
        b"GET /things HTTP/1.1\r\n" + UPGRADE + b"Content-Length: 1000\r\n\r\nx",
        b"POST /elsewhere HTTP/1.1\r\n" + UPGRADE + b"Content-Length: 1000\r\n\r\nx",
        b"POST /things HTTP/1.1\r\n" + UPGRADE.replace(b"websocket", b"spdy") + b"Content-Length: 1000\r\n\r\nx",
        b"POST /things HTTP/1.1\r\n" + UPGRADE.replace(b"websocket", b"h2c, websocket") + b"Content-Length: 9\r\n\r\nx",
        b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"CONNECT a:80 HTTP/1.1\r\n" + UPGRADE + b"\r\n",
    ],
)
def test_nothing_with_a_body_passes_by_the_filter_as_an_upgrade(gateway: Gateway, begun: bytes) -> None:
    with gateway.connect() as client:
        client.sendall(begun)
        client.recv(1000)

    assert gateway.monolith.requests == []


@pytest.mark.parametrize(
    "begun",
    [
        b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\nContent-Length: 5000000\r\n\r\nx",
        b"TRACE /things HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
def test_a_tunnel_is_refused_at_once_and_nothing_of_it_is_kept(gateway: Gateway, begun: bytes) -> None:
    answer, content = gateway.send(begun)

    assert answer.status in {400, 403}
    assert json.loads(content) == {"detail": DETAILS[answer.status]}
    assert gateway.monolith.requests == []


@pytest.mark.parametrize("method", ["PROPFIND", "REPORT", "MKCOL", "OPTIONS", "PURGE"])
def test_a_method_that_http_1_knows_is_the_application_s(gateway: Gateway, method: str) -> None:
    answer = gateway.request(method, "/elsewhere")

    # The test's server knows OPTIONS alone.
    assert answer.data == b"monolith" or b"Unsupported method" in answer.data


@pytest.mark.parametrize("framing", [b"", b"Transfer-Encoding: chunked\r\n"])
def test_what_follows_an_upgrade_that_is_not_granted_is_no_request(gateway: Gateway, framing: bytes) -> None:
    """Behind the gateway this could be a request for a closed path."""
    gateway.monolith.reply = after(0.2)  # type: ignore[assignment]
    with gateway.connect() as client:
        head = b"GET /things HTTP/1.1\r\n" + UPGRADE + framing + b"\r\n"
        client.sendall(head + b"GET /admin/ HTTP/1.1\r\nHost: a\r\n\r\n")
        while client.recv(1000):
            pass
    gateway.request("GET", "/things")

    assert [request.path for request in gateway.monolith.requests] == ["/things", "/things"]
    assert "transfer-encoding" not in gateway.monolith.requests[0].headers


@pytest.mark.parametrize("upgrade", [b"h2c", b"TLS/1.2"])
def test_an_upgrade_that_is_none_of_the_gateway_s_waits_for_its_body(gateway: Gateway, upgrade: bytes) -> None:
    head = b"POST /things HTTP/1.1\r\n" + UPGRADE.replace(b"websocket", upgrade) + b"Content-Length: 2\r\n\r\n"
    with gateway.connect() as client:
        client.sendall(head + b"{")
        assert gateway.request("POST", "/things", body=b"[]").status == 200
        client.sendall(b"}")
        client.recv(1000)

    assert [request.body for request in gateway.monolith.requests if request.body != b"{}"] == [b"[]"]


def test_a_gateway_under_load_still_bounces(gateway: Gateway) -> None:
    gateway.monolith.reply = bounce
    answers: list[int] = []
    body = os.urandom(400_000)

    def send() -> None:
        answers.append(gateway.request("POST", "/things", body=body, timeout=60).status)

    senders = [threading.Thread(target=send) for _ in range(20)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join(60)

    assert answers == [200] * 20
