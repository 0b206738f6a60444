"""The doorstep before Django under a real uvicorn: what it refuses under WSGI it refuses here, too."""

from __future__ import annotations

import encodings
import socket
from collections.abc import Iterator
from http.client import HTTPResponse
from typing import Any

import httpx
import pytest
from chassis.rest import doorstep
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest, JsonResponse
from django.urls import path
from library.asgi import Asgi

pytestmark = pytest.mark.usefixtures("no_atomic_requests")
SLOW = {
    "Content-Type": [b'a/b;"' + b";" * 54_000, b"a/b;charset=" + b"x" * 600],
    "Host": [b"api-key." * 100],
    "Cookie": [b'a="' + b"\\a" * 2_000 + b'"', b"a=1; " * 2_000],
}


def tell(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"type": request.META.get("CONTENT_TYPE"), "body": len(request.body), "get": len(request.GET)})


urlpatterns = [path("told", tell)]


@pytest.fixture
def server(settings: Any) -> Iterator[Asgi]:
    settings.ROOT_URLCONF, settings.MIDDLEWARE, settings.ALLOWED_HOSTS = __name__, [], ["*"]
    with Asgi(doorstep.guarded_asgi(ASGIHandler())) as found:
        yield found


def ask(server: Asgi, *headers: bytes, method: bytes = b"POST", target: bytes = b"/told") -> tuple[int, dict[str, Any]]:
    """The answer to a request with exactly these headers."""
    lines = [method + b" " + target + b" HTTP/1.1", *headers, b"Content-Length: 2", b"Connection: close", b"", b"{}"]
    if not any(header.startswith(b"Host:") for header in headers):
        lines.insert(1, b"Host: localhost")
    with socket.create_connection(server.address, 60) as client:
        client.sendall(b"\r\n".join(lines))
        answer = HTTPResponse(client, method=method.decode())
        answer.begin()
        content = answer.read()
    assert answer.headers["content-type"] == "application/json"
    return answer.status, httpx.Response(200, content=content).json() if content else {}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in SLOW.items() for value in values])
def test_a_header_that_django_reads_slowly_is_refused(server: Asgi, name: str, value: bytes) -> None:
    assert ask(server, name.encode() + b": " + value) == (400, {"detail": doorstep.TOO_LONG.format(name)})


def test_what_several_lines_say_counts_together(server: Asgi) -> None:
    lines = [b"Cookie: " + b"x" * 3_000] * 3

    assert ask(server, *lines) == (400, {"detail": doorstep.TOO_LONG.format("Cookie")})


@pytest.mark.parametrize(
    ("kind", "target"),
    [
        (b"text/plain; charset*=utf-8''%00", b"/told"),
        (b"a/b; c*0=d; c*=e", b"/told"),
        (b"text/plain; charset=base64", b"/told?a=%20"),
        (b"text/plain", b"/told?a=%ff"),
    ],
)
def test_what_django_fails_at_is_refused_before_django(server: Asgi, kind: bytes, target: bytes) -> None:
    status, told = ask(server, b"Content-Type: " + kind, target=target)

    assert (status, told) == (400, {"detail": doorstep.UNREADABLE}) or (status, told["get"]) == (200, 1)


@pytest.mark.parametrize("kind", [b"a/b; c*0=d; c*=e", b"text/plain; charset*=utf-8''%00"])
def test_a_refusal_of_HEAD_has_no_body(server: Asgi, kind: bytes) -> None:
    assert ask(server, b"Content-Type: " + kind, method=b"HEAD") == (400, {})


@pytest.mark.parametrize("spelling", ["no-such-{}", "utf{}8", "utf-8{}", "{}latin-1"])
def test_no_name_of_a_charset_is_remembered(server: Asgi, spelling: str) -> None:
    def send(name: str) -> None:
        kind = f'Content-Type: multipart/form-data; boundary="a b"; charset="{spelling.format(name)}"'
        ask(server, kind.encode())

    send("-")
    before = len(encodings._cache)  # type: ignore[attr-defined]
    for number in range(2, 12):
        send("-" * number)
        send(f"-{number}-")

    assert len(encodings._cache) == before  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("said", "passed_on"),
    [
        (b"text/plain; charset=UTF-8; format=flowed", "text/plain; charset=UTF-8; format=flowed"),
        (b"text/plain; charset=koi8-r", "text/plain; charset=koi8_r"),
        (b"text/plain; charset=nosuch", "text/plain; charset=unknown"),
    ],
)
def test_what_is_said_of_a_body_otherwise_stays(server: Asgi, said: bytes, passed_on: str) -> None:
    status, told = ask(server, b"Content-Type: " + said, b"Cookie: sessionid=x")

    assert (status, told) == (200, {"type": passed_on, "body": 2, "get": 0})


def test_a_request_without_any_of_them_passes(server: Asgi) -> None:
    assert ask(server) == (200, {"type": None, "body": 2, "get": 0})


@pytest.mark.parametrize("kind", ["lifespan", "websocket"])
def test_what_is_no_http_passes_as_it_is(kind: str) -> None:
    seen: list[Any] = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)

    scope = {"type": kind, "headers": [(b"cookie", b"x" * 9_000)]}
    with pytest.raises(StopIteration):
        doorstep.guarded_asgi(inner)(scope, receive, receive).send(None)  # type: ignore[attr-defined]

    assert seen == [scope]


async def receive(*_: Any) -> Any:
    raise AssertionError("nothing is read")
