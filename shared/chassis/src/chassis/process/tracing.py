"""The trace that the present work belongs to, as W3C's ``traceparent`` carries it from one process to the next."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from django.http import HttpRequest, HttpResponseBase

from chassis.process import about

HEADER = "traceparent"
ID_HEADER = "X-Trace-Id"

_PATTERN = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(-.*)?")
_current: ContextVar[str | None] = ContextVar("traceparent", default=None)


def current_traceparent() -> str:
    """The value to send along; where there is no trace, one begins here."""
    return _current.get() or follow("")


def trace_id() -> str | None:
    """The present trace's id, 32 hexadecimal digits; None outside of any."""
    present = _current.get()
    return present.split("-")[1] if present else None


def follow(received: str) -> str:
    """The same trace with a span of our own; a new trace where nothing usable was received."""
    match = _PATTERN.fullmatch(received)
    trace, flags = (match[1], match[2]) if match else (secrets.token_hex(16), "01")
    return f"00-{trace}-{secrets.token_hex(8)}-{flags}"


@contextmanager
def following(received: str) -> Iterator[str]:
    """What happens inside belongs to the trace received, or to a new one."""
    chosen = follow(received)
    token = _current.set(chosen)
    try:
        yield chosen
    finally:
        _current.reset(token)


class TraceMiddleware:
    """What a request causes belongs to the caller's trace. The answer says which one that is, for the gateway's log
    and for who asks about it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        with following(request.headers.get(HEADER, "")):
            trace = trace_id()
            about.note(trace_id=trace)
            response = self.get_response(request)
            if trace is not None:
                response.headers[ID_HEADER] = trace
            return response
