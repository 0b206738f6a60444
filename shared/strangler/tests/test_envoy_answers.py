"""The answers that a real Envoy gives itself: JSON with ``detail``, like all errors."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from http.client import HTTPResponse
from pathlib import Path

import pytest
from envoys import Side, free_port, running, says
from strangler.adapters import envoy
from strangler.adapters.envoy import bootstrap
from strangler.adapters.envoy.headers import MOST_HEADERS, MOST_KIB
from strangler.domain.project import CLOSED
from strangler.domain.route import Route
from strangler.domain.routing import RouteTable

pytest.importorskip("envoy")


@pytest.fixture(scope="module")
def monolith() -> Iterator[Side]:
    side = Side("monolith", says("monolith"))
    side.start()
    yield side
    side.stop()


@pytest.fixture(scope="module")
def port(monolith: Side, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    directory, own, admin_port = tmp_path_factory.mktemp("gateway"), free_port(), free_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bootstrap, "HEADERS_TIMEOUT", "1s")
        patch.setattr(bootstrap, "LEAST_REQUEST_SECONDS", 1)
        patch.setattr(bootstrap, "SLOWEST_BYTES_PER_SECOND", 1 << 24)
        _write(directory, own, admin_port, monolith)
    with running(directory, admin_port):
        yield own


def _write(directory: Path, port: int, admin_port: int, monolith: Side) -> None:
    others = [Route(frozenset(), "/slow", timeout=0.2), Route(frozenset(), "/small", max_body=10)]
    envoy.write_bootstrap(directory, port=port, admin_port=admin_port, access_log=None)
    envoy.publish_clusters(directory, {"monolith": monolith.address})
    envoy.publish(directory, RouteTable("v", [], default="monolith", others=others, closed=CLOSED))


def send(port: int, raw: bytes) -> tuple[HTTPResponse, bytes]:
    with socket.create_connection(("127.0.0.1", port), 60) as client:
        client.sendall(raw)
        answer = HTTPResponse(client, method=raw.partition(b" ")[0].decode())
        answer.begin()
        return answer, answer.read()


def request(path: str, *headers: str, method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: a", *headers, "", ""]).encode()


ANSWERED = [
    (b"nonsense\r\n\r\n", 400),
    (request("/%00"), 400),
    (request("/", "X A: b"), 400),
    (b"GET / HTTP/1.1\r\n\r\n", 400),
    (request("/", "Transfer-Encoding: chunked", method="POST") + b"zz\r\n", 400),
    (request("/", "Connection: upgrade", "Upgrade: other"), 403),
    (request("/metrics"), 404),
    (request("/", method="POST")[:-2], 408),
    (request("/", "Content-Length: 2", method="POST"), 408),
    (request("/", "Content-Length: 99999999", method="POST"), 413),
    (request("/small", "Content-Length: 11", method="POST"), 413),
    (request("/small", "Transfer-Encoding: chunked", method="POST") + b"b\r\n01234567890\r\n0\r\n\r\n", 413),
    (request("/", *(f"X-{number}: a" for number in range(MOST_HEADERS))), 431),
    (request("/", "X: " + "a" * (MOST_KIB << 10)), 431),
    (request("/" + "a" * (MOST_KIB << 10)), 431),
    (request("/", "Transfer-Encoding: gzip", method="POST"), 501),
]


@pytest.mark.parametrize(("raw", "status"), ANSWERED, ids=lambda each: str(each)[:40])
def test_what_the_gateway_refuses_is_answered_in_json(port: int, raw: bytes, status: int) -> None:
    _assert_told(send(port, raw), status)


def test_an_answer_that_does_not_come_in_time_is_missed_in_json(port: int, monolith: Side) -> None:
    monolith.reply = _late

    _assert_told(send(port, request("/slow")), 504)


def test_a_request_that_may_have_been_done_is_not_asked_for_again(port: int, monolith: Side) -> None:
    monolith.reply = lambda _: None

    answer = send(port, request("/", "Content-Length: 0", method="POST"))

    _assert_told(answer, 503)
    assert answer[0].headers["retry-after"] is None


def test_one_that_could_not_be_delivered_is(port: int, monolith: Side) -> None:
    monolith.stop()
    try:
        answer = send(port, request("/", "Content-Length: 0", method="POST"))
    finally:
        monolith.start()

    _assert_told(answer, 503)
    assert answer[0].headers["retry-after"] == "1"


def test_an_answer_of_a_process_stays_as_it_is(port: int, monolith: Side) -> None:
    monolith.reply = lambda _: (503, {"retry-after": "7", "content-type": "text/html"}, b"<p>closed</p>")

    answer, body = send(port, request("/"))

    assert (answer.status, answer.headers["retry-after"], body) == (503, "7", b"<p>closed</p>")


def _assert_told(told: tuple[HTTPResponse, bytes], status: int) -> None:
    answer, body = told
    assert (answer.status, answer.headers["content-type"]) == (status, "application/json"), body
    assert list(json.loads(body)) == ["detail"]
    assert json.loads(body)["detail"].endswith((".", "again."))


def _late(_: object) -> tuple[int, dict[str, str], bytes]:
    time.sleep(1)  # the test is about a time
    return 200, {}, b""
