"""Old or odd requests, and those spelled in another way, reach the right processes behind a real Envoy, or none."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from limited import Gateway, bounce
from strangler.domain.project import SERVICE

pytest.importorskip("envoy")


@pytest.mark.parametrize("host", [b"", b"Host: shop\r\n"])
def test_http_1_0_is_answered(gateway: Gateway, host: bytes) -> None:
    answer, content = gateway.send(b"GET /things HTTP/1.0\r\n" + host + b"\r\n")

    assert (answer.status, content) == (200, b"monolith")
    assert gateway.monolith.requests[0].headers["host"] == ("shop" if host else "localhost")


def test_http_1_0_is_bounced(gateway: Gateway) -> None:
    gateway.monolith.reply = bounce

    answer, content = gateway.send(b"POST /things HTTP/1.0\r\nHost: shop\r\nContent-Length: 2\r\n\r\n{}")

    assert (answer.status, content) == (200, b"service")
    assert gateway.service.requests[0].body == b"{}"


PATHS = [
    "/things%2F1", "/things/a%2Fb", "/th%69ngs%2f1", "/%74hings", "/things/%E5%95%86", "/caf%C3%A9", "/caf%c3%a9",
    "/things/%5C", "/things//a", "/things%3Bv=1", "/things/100%25", "/things/a;b?c=%2F&d=%E9",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("switched", [False, True])
def test_a_bounce_finds_its_way_however_the_path_is_written(gateway: Gateway, path: str, switched: bool) -> None:
    if switched:
        gateway.switch()
    gateway.monolith.reply = bounce

    answer = gateway.request("POST", path, body=b"{}")

    assert (answer.status, answer.data) == (200, b"service")
    assert gateway.service.requests[0].body == b"{}"
    if gateway.monolith.requests:
        assert gateway.service.requests[0].path == gateway.monolith.requests[0].path


@pytest.mark.parametrize("path", PATHS)
def test_a_path_reaches_its_process_with_the_same_meaning(gateway: Gateway, path: str) -> None:
    gateway.request("GET", path)

    [arrived] = gateway.monolith.requests
    assert _meaning(arrived.path) == _meaning(path)


def _meaning(path: str) -> str:
    return unquote(path, errors="surrogateescape")


def test_a_client_cannot_name_the_capability(gateway: Gateway) -> None:
    headers = {"x-strangler-to": SERVICE, "x-strangler-capability": "things"}

    assert gateway.request("GET", "/elsewhere", headers=headers).data == b"monolith"
    assert not set(headers) & set(gateway.monolith.requests[0].headers)


# --------------------------------------------------------------------------------------------------------------- closed

CLOSED_PATHS = [
    "/admin", "/admin/",
    "/admin/login/?next=/", "/ADMIN/", "/Admin/login/", "/%61dmin/", "/%41dmin/", "/adm%69n/login/",
    "//admin/", "/./admin/", "/x/../admin/", "/%2e/admin/", "/%2Fadmin/", "/admin%2Flogin/", "/admin;x/", "/admin%3Bx",
    "/admin//", "/admin%20", "/admin%00/", "/\\admin/", "/%5Cadmin/", "/admin?x",
    "/metrics", "/metrics/", "/%6Detrics", "//metrics", "/METRICS", "/metrics?name=x", "/metrics;",
]  # fmt: skip


@pytest.mark.parametrize("path", CLOSED_PATHS)
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
def test_a_closed_path_is_closed_however_it_is_written(gateway: Gateway, path: str, method: str) -> None:
    answer, _ = gateway.send(f"{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())

    assert answer.status in (404, 400)
    assert gateway.monolith.requests == []


@pytest.mark.parametrize(
    "path", ["/administration", "/admin-guide", "/things/admin", "/healthz", "/static/administration.css", "/metrics2"]
)
def test_what_only_looks_like_it_is_open(gateway: Gateway, path: str) -> None:
    assert gateway.request("GET", path).status == 200


def test_an_answer_for_what_is_closed_is_json(gateway: Gateway) -> None:
    answer = gateway.request("GET", "/metrics")

    assert (answer.status, answer.headers["content-type"], answer.json()) == (
        404,
        "application/json",
        {"detail": "Not found."},
    )
