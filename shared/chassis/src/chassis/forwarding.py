"""Sends a request on to the other side where the gateway cannot do it."""

from __future__ import annotations

import urllib3
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpResponse, JsonResponse
from django.http.response import HttpResponseBase

from chassis import admission
from chassis.body import Body

FORWARDED = "x-strangler-forwarded"
SCHEMES = ("http", "https")
HOP_BY_HOP = frozenset(
    {
        "connection",
        "content-length",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)

# Never a retry: the other side may have acted on a request whose answer was lost.
_pool = urllib3.PoolManager(maxsize=16, retries=False, timeout=urllib3.Timeout(connect=2.0, read=30.0))


def own_address(request: WSGIRequest) -> str:
    """The address the client asked for, as the gateway saw it."""
    # Several proxies may have made a list of it: with that the gateway would take the whole for no address.
    scheme = request.headers.get("x-forwarded-proto", "").partition(",")[0].strip()
    if scheme not in SCHEMES:
        scheme = request.scheme or "http"
    return f"{scheme}://{request.META.get('HTTP_HOST', '')}{raw_path(request)}"


def raw_path(request: WSGIRequest) -> str:
    """Path and query as they came over the wire, where the server tells."""
    return str(request.environ.get("RAW_URI") or request.get_full_path())


def forward(request: WSGIRequest, body: Body, *, to: str, peer_url: str) -> HttpResponseBase:
    """The other side's answer to this request, or 502 when it gives none."""
    headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
    headers |= {"x-strangler-to": to, FORWARDED: "1", "Content-Length": str(body.length)}
    try:
        with admission.aside():
            answer = _pool.request(
                request.method or "GET",
                peer_url + raw_path(request),
                body=body.open(),
                headers=headers,
                redirect=False,
                decode_content=False,
            )
    except urllib3.exceptions.HTTPError as error:
        return JsonResponse({"detail": f"The other side did not answer: {type(error).__name__}."}, status=502)
    response = HttpResponse(answer.data, status=answer.status)
    for name, value in answer.headers.items():
        if name.lower() not in HOP_BY_HOP:
            response[name] = value
    return response
