"""The fence behind the kit's own gateway: a real Envoy, with the files that the tool writes for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from chassis.ownership import owners
from django.db import connection
from django.test import override_settings
from library.gateway import Gateway
from library.programs import MIGRATE, WEB, Running, run
from library.side import Side
from library.urls import moment
from library.wire import Wire
from server_node import ServerNode
from strangler.adapters.envoy.headers import MOST_HEADERS

pytest.importorskip("envoy")
pytestmark = [
    pytest.mark.urls("library.urls"),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="DATABASE_URL names no PostgreSQL"),
]

SENDERS = 12  # more than the process behind has threads


@pytest.fixture
def other() -> Iterator[Wire]:
    """The owner."""
    with override_settings(
        MIDDLEWARE=["chassis.process.admission.AdmissionMiddleware"], ALLOWED_HOSTS=["library.example"]
    ):
        wire = Wire()
    with wire:
        yield wire


@pytest.fixture
def here(
    transactional_db: None, settings: Any, monkeypatch: pytest.MonkeyPatch, other: Wire
) -> Iterator[tuple[Wire, Side]]:
    settings.ALLOWED_HOSTS = ["library.example"]
    monkeypatch.setattr(owners, "_present", set())
    moment.passed, moment.planned, moment.writes = 0, None, False
    side = Side(other.url, methods="")
    middleware = ["chassis.process.admission.AdmissionMiddleware", "chassis.ownership.fence.FenceMiddleware"]
    with override_settings(MIDDLEWARE=middleware):
        wire = Wire()
    with wire:
        yield wire, side
    side.remove()


@pytest.fixture
def gateway(tmp_path: Path, here: tuple[Wire, Side], other: Wire) -> Iterator[Gateway]:
    with Gateway(tmp_path, here=here[0].url, other=other.url) as found:
        yield found


def request(path: str, body: bytes, *headers: str) -> bytes:
    framed = headers or (f"Content-Length: {len(body)}",)
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: library.example", *framed, "", ""]).encode() + body


@pytest.mark.parametrize(
    "raw",
    [
        request("/books/echo", b"{}"),
        request("/books/echo/%E5%95%86?q=%E5%95%86", b"{}"),
        request("/books/echo/caf%C3%A9", b"{}"),
        request("/books/echo/caf%E9", b"{}"),
        request("/books%2Fecho/a%2Fb", b"{}"),
        request("/%62ooks%2fecho", b"{}"),
        request("/books/echo/100%25;v=1//", b"{}"),
        request("/books/echo", b"2\r\n{}\r\n0\r\n\r\n", "Transfer-Encoding: chunked"),
        request("/books/echo", b"x" * 1_000_000),
        request("/books/echo", b"{}").replace(b"HTTP/1.1", b"HTTP/1.0"),
    ],
    ids=["plain", "chinese", "accent", "latin", "slash", "letter", "signs", "chunks", "large", "old"],
)
def test_the_owner_gets_what_the_client_sent(gateway: Gateway, here: tuple[Wire, Side], raw: bytes) -> None:
    status, expected = gateway.send(raw)
    assert status == 201, expected
    here[1].fence()
    here[1].hand_over()

    status, content = gateway.send(raw)

    assert status == 201, content
    assert _echo(content) == _echo(expected)


@pytest.mark.parametrize("count", [MOST_HEADERS - 3, MOST_HEADERS - 2, 95])
def test_what_a_process_takes_before_a_move_it_takes_of_a_bounce(
    gateway: Gateway, here: tuple[Wire, Side], count: int
) -> None:
    raw = request("/books/echo", b"{}", "Content-Length: 2", *(f"X-{number}: a" for number in range(count)))
    before, _ = gateway.send(raw)
    here[1].fence()
    here[1].hand_over()

    assert before == (201 if count + 2 <= MOST_HEADERS else 431)
    assert gateway.send(raw)[0] == before


def _echo(content: bytes) -> dict[str, Any]:
    echo: dict[str, Any] = json.loads(content)
    # Each request has an id of its own; what has been forwarded by the middleware says so, and a bounce its trace.
    own = ("X-Request-Id", "X-Forwarded-Proto", "X-Envoy-Expected-Rq-Timeout-Ms", "Traceparent")
    echo["headers"] = {name: value for name, value in echo["headers"].items() if name not in own}
    return echo


SLOW = {
    "post": b"POST /books HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\nx",
    "get": b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\nx",
    "websocket": b"POST /books HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Content-Length: 1000\r\n\r\nx",
    "websocket-get": b"GET /books HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Content-Length: 1000\r\n\r\nx",
    "websocket-chunked": b"GET /books HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n5\r\nx",
    "h2c": b"POST /books HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    b"HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\nContent-Length: 1000\r\n\r\nx",
    "continue": b"POST /books HTTP/1.1\r\nHost: 127.0.0.1\r\nExpect: 100-continue\r\nContent-Length: 1000\r\n\r\nx",
    "chunked": b"POST /books HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nx",
    "large": b"POST /books HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2000000\r\n\r\nx",
    "connect": b"CONNECT 127.0.0.1:80 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "events": b"GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "pipelined": b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    b"POST /books HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\nx",
}


def test_more_slow_clients_than_a_process_has_threads_keep_nobody(server: ServerNode, tmp_path: Path) -> None:
    run(MIGRATE, DATABASE_URL=server.url)
    few = {"WEB_AT_WORK": "2", "WEB_THREADS": "8"}
    with Running(WEB, tmp_path / "web.log", DATABASE_URL=server.url, **few) as web, ExitStack() as stack:
        web.await_status("/readyz", 200)
        gateway = stack.enter_context(Gateway(tmp_path, here=f"http://127.0.0.1:{web.port}", other="http://none:1"))
        address = f"http://127.0.0.1:{gateway.port}/books"
        answers = {}
        for kind, raw in SLOW.items():
            with ExitStack() as clients:
                for _ in range(SENDERS):
                    clients.enter_context(gateway.connect()).sendall(raw)
                answers[kind] = [_status(address) for _ in range(10)]

        assert answers == {kind: [201] * 10 for kind in SLOW}


def _status(address: str) -> int:
    try:
        return httpx.post(address, json={}, timeout=5).status_code
    except httpx.TimeoutException:
        return 0
