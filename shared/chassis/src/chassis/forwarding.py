"""Sends a request on to the other side where the gateway cannot do it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from http.cookies import Morsel

import urllib3
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from chassis import admission
from chassis.body import Body

FORWARDED = "x-strangler-forwarded"
# What the gateway says of the time it allows for an answer, in milliseconds; silent where it allows any.
ALLOWED = "x-envoy-expected-rq-timeout-ms"
SILENCE = 300.0  # seconds without a byte after which nobody waits any more
WHOLE = 1 << 20  # answers of that many bytes are passed on in one piece
SCHEMES = ("http", "https")
HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
# What urllib3 would say by itself.
UNASKED = ("Accept-Encoding", "User-Agent")
# Of an answer: each server writes its own.
SIGNATURES = frozenset({"date", "server"})

_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_NO_ADDRESS = re.compile(r"[^\x21-\x7e]")

# Never a retry: the other side may have acted on a request whose answer was lost.
_pool = urllib3.PoolManager(maxsize=16, retries=False)


class _Cookie(Morsel):  # type: ignore[type-arg]
    """A Set-Cookie header as it came."""

    def __init__(self, line: str) -> None:
        super().__init__()
        self._line = line

    def OutputString(self, attrs: object = None) -> str:  # noqa: N802  the library's name
        return self._line


def own_address(request: WSGIRequest) -> str:
    """The address the client asked for, as the gateway saw it."""
    # Several proxies may have made a list of it: with that the gateway would take the whole for no address.
    scheme = request.headers.get("x-forwarded-proto", "").partition(",")[0].strip()
    if scheme not in SCHEMES:
        scheme = request.scheme or "http"
    # HTTP/1.0 does not demand that a client names the host that it asks.
    host = request.META.get("HTTP_HOST") or f"{request.META['SERVER_NAME']}:{request.META['SERVER_PORT']}"
    return f"{scheme}://{host}{raw_path(request)}"


def raw_path(request: WSGIRequest) -> str:
    """Path and query as they came over the wire, where the server tells.

    What is no address (bytes that are no ASCII, a lone ``%``) is written so that it reads as before.
    """
    raw = str(request.environ.get("RAW_URI") or "")
    if not raw.startswith("/"):
        raw = request.get_full_path()
    raw = _BROKEN_ESCAPE.sub("%25", raw)
    return _NO_ADDRESS.sub(lambda found: f"%{ord(found[0]):02X}", raw)


def forward(request: WSGIRequest, body: Body, *, to: str, peer_url: str) -> HttpResponseBase:
    """The other side's answer to this request, or 502 when it gives none."""
    headers = dict.fromkeys(UNASKED, urllib3.util.SKIP_HEADER)
    headers |= {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
    headers |= {"x-strangler-to": to, FORWARDED: "1", "Content-Length": str(body.length)}
    timeout = urllib3.Timeout(connect=2.0, read=_allowed(request))
    try:
        with admission.aside():
            answer = _pool.connection_from_url(peer_url).urlopen(
                request.method or "GET",
                raw_path(request),
                body=body.open(),
                headers=headers,
                redirect=False,
                timeout=timeout,
                preload_content=False,
                decode_content=False,
            )
            response = _passed_on(answer)
    except urllib3.exceptions.HTTPError as error:
        return JsonResponse({"detail": f"The other side did not answer: {type(error).__name__}."}, status=502)
    _take_headers(response, answer)
    return response


def _allowed(request: WSGIRequest) -> float:
    text = request.headers.get(ALLOWED, "")
    return min(int(text) / 1000, SILENCE) if text.isdecimal() and int(text) else SILENCE


def _passed_on(answer: urllib3.BaseHTTPResponse) -> HttpResponseBase:
    """Small answers whole; others as they come."""
    length = answer.headers.get("content-length", "")
    if (length.isdecimal() and int(length) <= WHOLE) or answer.status in (204, 304):
        with closing(answer):
            whole = HttpResponse(answer.read(decode_content=False), status=answer.status)
            answer.release_conn()
            return whole
    return StreamingHttpResponse(_pieces(answer), status=answer.status)


def _pieces(answer: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    with closing(answer):
        yield from answer.stream(1 << 16, decode_content=False)
        answer.release_conn()


def _take_headers(response: HttpResponseBase, answer: urllib3.BaseHTTPResponse) -> None:
    if "content-type" not in answer.headers:
        del response["Content-Type"]
    for name, value in answer.headers.items():
        if name.lower() == "set-cookie":
            dict.__setitem__(response.cookies, str(len(response.cookies)), _Cookie(value))
        elif name.lower() not in HOP_BY_HOP | SIGNATURES:
            response[name] = value
