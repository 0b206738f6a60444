"""Sends a request on to the other side: by an address that the gateway follows, or from here.

Note "as it came": a request is led on with its target as the client wrote it, broken escapes included, because the
process there must read what this one has read. So `http.client` sends it, and not a library that mends addresses. And
each request has a connection of its own: the other side may close a kept one just then, and nobody would know what it
did.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection, IncompleteRead
from http.cookies import Morsel
from urllib.parse import urlsplit

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from chassis.agreement import FORWARDED, TO
from chassis.process import admission, tracing
from chassis.process.body import Body, Received

# The header by which the gateway tells how many milliseconds it allows for an answer; missing where it has no limit.
ALLOWED = "x-envoy-expected-rq-timeout-ms"
CONNECT_SECONDS = 2.0
SILENCE_SECONDS = 300.0  # without a byte, after which the wait for an answer ends
PIECE_BYTES = 1 << 16
WHOLE_BYTES = 1 << 20  # answers of up to so many bytes are passed on in one piece
SCHEMES = ("http", "https")
HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "upgrade"})
# Headers of an answer that each server writes itself.
SIGNATURES = frozenset({"date", "server"})

_NO_ADDRESS = re.compile(r"[^\x21-\x7e]")
_AUTHORITY = re.compile(r"^[a-z][a-z0-9+.-]*://[^/?#]*", re.IGNORECASE)
_HOST = re.compile(r"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?")


class _Cookie(Morsel):  # type: ignore[type-arg]
    """A Set-Cookie header as it came."""

    def __init__(self, line: str) -> None:
        super().__init__()
        self._line = line

    def OutputString(self, attrs: object = None) -> str:  # noqa: N802  the library's name
        return self._line


def own_address(request: Received) -> str:
    """The address that the client asked for, as the gateway saw it."""
    # Several proxies may have made a list of it. With a list in it, the gateway would not accept the whole as an
    # address.
    scheme = request.headers.get("x-forwarded-proto", "").partition(",")[0].strip()
    if scheme not in SCHEMES:
        scheme = request.scheme or "http"
    return f"{scheme}://{_host(request)}{raw_path(request)}"


def has_address(request: Received) -> bool:
    """Whether the gateway would follow that address to the same host: a client may name something that is no host."""
    host = _HOST.fullmatch(_host(request))
    return host is not None and int(host["port"] or 0) < 1 << 16


def _host(request: Received) -> str:
    # HTTP/1.0 does not demand that a client name the host.
    return request.META.get("HTTP_HOST") or f"{request.META['SERVER_NAME']}:{request.META['SERVER_PORT']}"


def raw_path(request: Received) -> str:
    """Path and query as they came over the wire, where the server gives them; see the note "as it came".

    Bytes that no address may have, which some servers let in, are written as escapes.
    """
    raw = _AUTHORITY.sub("", _told(request), count=1)
    if not raw.startswith("/"):
        raw = request.get_full_path()
    return _NO_ADDRESS.sub(lambda found: f"%{ord(found[0]):02X}", raw)


def _told(request: Received) -> str:
    """The request's target as the server has read it, or nothing."""
    if not isinstance(request, ASGIRequest):
        return str(request.environ.get("RAW_URI") or "")
    raw, query = request.scope.get("raw_path") or b"", request.scope.get("query_string") or b""
    return (raw.partition(b"?")[0] + (b"?" + query if query else b"")).decode("latin-1") if raw else ""


def forward(request: Received, body: Body, *, to: str, peer_url: str) -> HttpResponseBase:
    """The other side's answer to this request, or 502 when it gives none."""
    # Never a retry: the other side may have acted on a request whose answer was lost.
    connection = _connection(peer_url)
    try:
        with admission.aside():
            _send(connection, request, body, to=to)
            answer = connection.getresponse()
            response = _passed_on(answer, asynchronous=isinstance(request, ASGIRequest))
    except (OSError, HTTPException) as error:
        connection.close()
        return JsonResponse({"detail": f"The other side did not answer: {type(error).__name__}."}, status=502)
    response._resource_closers.append(connection.close)  # type: ignore[attr-defined]
    _take_headers(response, answer)
    return response


def _connection(peer_url: str) -> HTTPConnection:
    parts = urlsplit(peer_url)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    return kind(parts.hostname or "", parts.port, timeout=CONNECT_SECONDS)


def _send(connection: HTTPConnection, request: Received, body: Body, *, to: str) -> None:
    headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
    headers |= {"Host": _host(request), TO.title(): to, FORWARDED.title(): "1"}  # as Django spells received ones
    if tracing.is_on():
        headers[tracing.HEADER.title()] = tracing.current_traceparent()
    if body.length or "Content-Length" in headers:
        headers["Content-Length"] = str(body.length)
    connection.connect()
    connection.sock.settimeout(_allowed(request))
    connection.putrequest(request.method or "GET", raw_path(request), skip_host=True, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name, value)
    # A server that refuses before the end of the request may close the connection: its answer is there all the same.
    with suppress(BrokenPipeError, ConnectionResetError):
        connection.endheaders()
        source = body.open()
        while piece := source.read(PIECE_BYTES):
            connection.send(piece)


def _allowed(request: Received) -> float:
    text = request.headers.get(ALLOWED, "")
    return min(int(text) / 1000, SILENCE_SECONDS) if text.isdecimal() and int(text) else SILENCE_SECONDS


def _passed_on(answer: HTTPResponse, *, asynchronous: bool) -> HttpResponseBase:
    """Passes small answers on whole, others as they come."""
    length = answer.headers.get("content-length", "")
    if (length.isdecimal() and int(length) <= WHOLE_BYTES) or answer.status in (204, 304):
        with closing(answer):
            return HttpResponse(answer.read(), status=answer.status)
    pieces = _pieces(answer)
    # Under ASGI Django would collect what comes piece by piece before it sends the first.
    return StreamingHttpResponse(_as_they_come(pieces) if asynchronous else pieces, status=answer.status)


async def _as_they_come(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    take = sync_to_async(lambda: next(pieces, b""))
    while piece := await take():
        yield piece


def _pieces(answer: HTTPResponse) -> Iterator[bytes]:
    with closing(answer):
        while piece := answer.read1(PIECE_BYTES):
            yield piece
        if answer.length:  # nothing else tells that the answer is not complete
            raise IncompleteRead(b"", answer.length)


def _take_headers(response: HttpResponseBase, answer: HTTPResponse) -> None:
    if "content-type" not in answer.headers:
        del response["Content-Type"]
    taken: dict[str, str] = {}
    for name, value in answer.getheaders():
        if name.lower() == "set-cookie":
            dict.__setitem__(response.cookies, str(len(response.cookies)), _Cookie(value))
        elif name.lower() not in HOP_BY_HOP | SIGNATURES:
            taken[name.lower()] = f"{taken[name.lower()]}, {value}" if name.lower() in taken else value
            response[name] = taken[name.lower()]
