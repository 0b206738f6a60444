"""A request's second run, and the one at the other side, see what the first would have seen without a move."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from chassis.ownership import owners
from chassis.ownership.holding import Holding
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from library.models import Book
from library.side import Side
from library.urls import moment
from library.waiting import until
from library.wire import Wire

pytestmark = [
    pytest.mark.urls("library.urls"),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="DATABASE_URL names no PostgreSQL"),
]

WITHOUT = [
    "chassis.servers.health.HealthMiddleware",
    "test_requests_again.tenant",
    "chassis.process.admission.AdmissionMiddleware",
]
WITH = [*WITHOUT, "chassis.ownership.fence.FenceMiddleware"]
JSON = "Content-Type: application/json"
FORM = "Content-Type: application/x-www-form-urlencoded"
MULTIPART = (
    b'--b\r\nContent-Disposition: form-data; name="title"\r\n\r\nEmma\r\n'
    b'--b\r\nContent-Disposition: form-data; name="scan"; filename="\xc3\xa9.bin"\r\n\r\n\x00\xff\r\n--b--\r\n'
)
CHUNKED = "Transfer-Encoding: chunked"


def tenant(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """What stands before the fence in a project, and adds to the request."""

    def middleware(request: HttpRequest) -> HttpResponse:
        request.tenant = "north"  # type: ignore[attr-defined]
        request.META["HTTP_X_TENANT"] = "north"
        return get_response(request)

    return middleware


def request(path: str = "/books/echo", *headers: str, body: bytes = b"{}", method: str = "POST") -> bytes:
    framed = headers if any(h.startswith(("Transfer", "Content-Length")) for h in headers) else (
        *headers, f"Content-Length: {len(body)}"
    )  # fmt: skip
    lines = [f"{method} {path} HTTP/1.1", "Host: library.example", *framed, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


REQUESTS = {
    "plain": request("/books/echo", JSON),
    "chinese": request("/books/echo/%E5%95%86"),
    "accent": request("/books/echo/caf%C3%A9?q=caf%C3%A9"),
    "accent as latin-1": request("/books/echo/caf%E9?q=caf%E9"),
    "escaped slash": request("/books/echo/a%2Fb%2f"),
    "escaped percent": request("/books/echo/100%25/%2541"),
    "lone percent": request("/books/echo/100%/%zz%41?q=%&r=%zz"),
    "nothing": request("/books/echo/%00"),
    "newline": request("/books/echo/a%0Ab%0D%0A?q=a%0Ab"),
    "signs without a shape": request("/books/echo/%7F%01%09%C2%85%E2%80%A8"),
    "no utf-8": request("/books/echo/%C0%AF%FF?q=%C0%AF%FF"),
    "parameters": request("/books/echo;v=1/a;b?a;b=1"),
    "two slashes": request("/books/echo//a//"),
    "escaped letters": request("/%62ooks/ech%6F/%7e~"),
    "dots": request("/books/echo/./a/../b"),
    "plus and space": request("/books/echo/a+b%20c?q=a+b%20c"),
    "odd signs": request("/books/echo/[a]|{b}^`<>\"'?q=[]|{}^`<>\"'&r=\\|%zz|%"),
    "small escapes": request("/books/echo/%e5%95%86?q=%e5%95%86&r=%2f"),
    "question marks": request("/books/echo?a=?&b=/?&&=c&a="),
    "empty query": request("/books/echo?"),
    "other address": request("http://library.example/books/echo/%E5%95%86?q=1"),
    "prefix": request("/shelf/books/echo/%E5%95%86", "SCRIPT_NAME: /shelf"),
    "headers": request("/books/echo", "X-A: 1", "X-A: 2", "X-Name: caf\xc3\xa9", "X-Latin: \xe9", "Accept: a, b"),
    "cookies": request("/books/echo", 'Cookie: a=1; b="x y"; c=caf\xc3\xa9; d'),
    "what a proxy would ask": request("/books/echo", "Proxy-Authorization: Basic YTpi"),
    "proxy": request("/books/echo", "X-Forwarded-Proto: https", "X-Forwarded-For: 10.0.0.9"),
    "empty": request(body=b""),
    "empty without a length": b"POST /books/echo HTTP/1.1\r\nHost: library.example\r\n\r\n",
    "form": request("/books/echo", FORM, body=b"a=1&a=2&b=caf%C3%A9"),
    "form in utf-8": request("/books/echo", f"{FORM}; charset=utf-8", body=b"a=%C3%A9"),
    "json in latin-1": request("/books/echo", f"{JSON}; charset=iso-8859-1", body=b'{"a": "\xe9"}'),
    "files": request("/books/echo", "Content-Type: multipart/form-data; boundary=b", body=MULTIPART),
    "bytes of all kinds": request("/books/echo", "Content-Type: a/b; c=d", body=bytes(range(256)) * 2_000),
    "in chunks": request("/books/echo", JSON, CHUNKED, body=b"3\r\n{}\n\r\n5;a=b\r\n12345\r\n0\r\nX-T: 1\r\n\r\n"),
    "a form in chunks": request("/books/echo", FORM, CHUNKED, body=b"3\r\na=1\r\n0\r\n\r\n"),
    "no chunks": request("/books/echo", JSON, CHUNKED, body=b"0\r\n\r\n"),
    "expecting": request("/books/echo", "Expect: 100-continue"),
    "method": request(method="PATCH"),
    "own method": request(method="BREW"),
}
# The name before the path is each server's own: the gateway's side of it is not what a peer has.
ELSEWHERE = {name: raw for name, raw in REQUESTS.items() if name != "prefix"}
WRITING = {name: raw for name, raw in REQUESTS.items() if raw.startswith(b"POST")}


def each(requests: dict[str, bytes]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("raw", requests.values(), ids=requests.keys())


@pytest.fixture
def other() -> Iterator[Wire]:
    """The other side, where the capability is open."""
    with override_settings(MIDDLEWARE=WITHOUT):
        wire = Wire()
    with wire:
        yield wire


@pytest.fixture
def side(
    transactional_db: None, settings: Any, monkeypatch: pytest.MonkeyPatch, other: Wire, holding: Holding
) -> Iterator[Side]:
    settings.ALLOWED_HOSTS = ["library.example"]
    monkeypatch.setattr(owners, "_present", set())
    moment.passed, moment.planned, moment.writes = 0, None, False
    found = Side(other.url, methods="")
    yield found
    found.remove()


@pytest.fixture
def here(side: Side) -> Iterator[Wire]:
    with override_settings(MIDDLEWARE=WITH):
        wire = Wire()
    with wire:
        yield wire


def echoed(wire: Wire, raw: bytes) -> Any:
    answer, content = wire.send(raw)
    assert answer.status == 201, content
    cookies = sorted(answer.headers.get_all("set-cookie") or [])
    return {"cookies set": cookies, "type": answer.headers["content-type"], **json.loads(content)}


@each(REQUESTS)
def test_the_first_run_sees_what_it_would_see_without_a_move(side: Side, here: Wire, other: Wire, raw: bytes) -> None:
    assert echoed(here, raw) == echoed(other, raw)


@each(WRITING)
def test_the_second_run_sees_the_same(side: Side, here: Wire, other: Wire, holding: Holding, raw: bytes) -> None:
    moment.planned, moment.writes = side.fence, True

    def reopen() -> None:
        until(lambda: holding._waiting == 1)
        side.reopen()

    lifting = threading.Thread(target=reopen)
    lifting.start()
    again = echoed(here, raw)
    lifting.join(60)

    moment.writes = False
    assert moment.passed == 2
    assert Book.objects.count() == 1
    assert again == echoed(other, raw)


@each(ELSEWHERE)
def test_the_other_side_sees_the_same_of_what_is_forwarded(side: Side, here: Wire, other: Wire, raw: bytes) -> None:
    side.fence()
    side.hand_over()
    line, _, rest = raw.partition(b"\r\n")

    forwarded = echoed(here, line + b"\r\nX-Strangler-To: monolith\r\n" + rest)

    assert forwarded == echoed(other, raw)


@each(REQUESTS)
def test_a_bounce_leads_to_what_was_asked_for(side: Side, here: Wire, other: Wire, raw: bytes) -> None:
    side.fence()
    side.hand_over()
    line, _, rest = raw.partition(b"\r\n")

    answer, _ = here.send(raw)

    assert answer.status == 307
    location = answer.headers["location"]
    assert location.isascii()
    scheme, _, address = location.partition("://")
    assert scheme in ("http", "https")
    path = address.removeprefix("library.example").encode()
    followed = echoed(other, b" ".join([line.split(b" ")[0], path, b"HTTP/1.1"]) + b"\r\n" + rest)
    assert followed == echoed(other, raw)


def test_a_long_answer_of_the_other_side_is_passed_on_as_it_comes(side: Side, here: Wire) -> None:
    side.fence()
    side.hand_over()

    answer, content = here.send(request("/books/long", "X-Strangler-To: monolith", body=b"", method="GET"))

    assert answer.status == 200
    assert len(content) == 1_600_000


def test_a_bounce_has_an_address_though_the_client_has_named_no_host(side: Side, here: Wire) -> None:
    side.fence()
    side.hand_over()

    answer, _ = here.send(b"POST /books/echo HTTP/1.0\r\nContent-Length: 0\r\n\r\n")

    assert (answer.status, answer.headers["location"]) == (307, f"{here.url}/books/echo")
