"""What a browser may do with the pages: load our own style, script and nothing else, and keep none of them."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponseNotFound
from django.http.response import HttpResponseBase
from django.utils.cache import add_never_cache_headers

CONTENT = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
POLICY = {
    "Content-Security-Policy": CONTENT,
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class PolicyMiddleware:
    """Belongs before all that may answer by itself."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        for name, value in POLICY.items():
            response.headers.setdefault(name, value)
        # Each page names its visitor. Files have said already how long they may be kept.
        if "Cache-Control" not in response.headers:
            add_never_cache_headers(response)
        return response


class InsideMiddleware:
    """Closes addresses that are for probes and Prometheus to whoever comes by a proxy; the first of all.

    The services have the gateway before them, which does so. Before the storefront is only what a team puts there.
    """

    CLOSED = frozenset({"/metrics", "/healthz", "/readyz"})
    BY_A_PROXY = ("HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_VIA")

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path_info in self.CLOSED and any(name in request.META for name in self.BY_A_PROXY):
            return HttpResponseNotFound()
        return self.get_response(request)
