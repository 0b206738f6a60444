"""The trace that the present work belongs to, as W3C's ``traceparent`` carries it from one process to the next.

Without OpenTelemetry this module alone hands traces on, and its spans are none: nothing is kept, nothing is sent. Where
`chassis.process.telemetry` has started, each span is OpenTelemetry's. So everything in the chassis calls this module,
and only `chassis.process.spans` knows the library.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import Literal, Protocol, Self

from django.http import HttpRequest, HttpResponseBase

from chassis.process import about, routes

HEADER = "traceparent"
ID_HEADER = "X-Trace-Id"
# Probes and scrapes come every few seconds, and belong to nobody's work.
QUIET = frozenset({"/healthz", "/readyz", "/metrics"})

Kind = Literal["internal", "server", "client", "producer", "consumer"]
Attributes = Mapping[str, str | int | float | bool]

_PATTERN = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_current: ContextVar[str | None] = ContextVar("traceparent", default=None)


class Span:
    """A span that is kept nowhere. A process without OpenTelemetry has only this one."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Ends it; an error marks it with the error's type, never with its text, which may hold anybody's data."""

    @property
    def is_kept(self) -> bool:
        """Whether what is noted goes anywhere; asked before something is worked out for it."""
        return False

    def note(self, attributes: Attributes) -> None:
        """Sets attributes."""

    def event(self, name: str, attributes: Attributes | None = None) -> None:
        """Notes that something happened now."""

    def rename(self, name: str) -> None:
        """Names it by what is known only now."""

    def fail(self, reason: str) -> None:
        """Marks it as failed; ``reason`` is a word of few: the name of an error, or an outcome."""

    def end(self) -> None:
        """Ends it where it is not in ``with``."""


class Tracer(Protocol):
    """What `use` is given."""

    def open(self, name: str, kind: Kind, parent: str, attributes: Attributes | None) -> Span:
        """A span that has begun. In ``with`` it is the current one inside."""
        ...

    def current(self) -> tuple[Span, str]:
        """The current span, and its ``traceparent``, which is empty where there is none."""
        ...

    def follow(self, traceparent: str) -> AbstractContextManager[None]:
        """Inside, spans are children of this one of another process."""
        ...


NO_SPAN = Span()
_tracer: Tracer | None = None


def use(tracer: Tracer | None) -> None:
    """From now on spans are this tracer's; None: they are kept nowhere again."""
    global _tracer  # noqa: PLW0603
    _tracer = tracer


def is_on() -> bool:
    """Whether spans are kept and sent."""
    return _tracer is not None


def span(name: str, *, kind: Kind = "internal", parent: str = "", attributes: Attributes | None = None) -> Span:
    """A part of the present work. Its parent is the current span, unless ``parent`` is a ``traceparent``.

    It begins now. In ``with`` it is the current span until the end of the block; else it lasts until its `Span.end`,
    whatever this thread does meanwhile.
    """
    return NO_SPAN if _tracer is None else _tracer.open(name, kind, parent, attributes)


@contextmanager
def entered(name: str, received: str, *, kind: Kind, attributes: Attributes | None = None) -> Iterator[Span]:
    """A span for work that another process has asked for; it belongs to the trace received, or begins a new one."""
    if _tracer is None:
        with following(received):
            yield NO_SPAN
    else:
        with _tracer.open(name, kind, received, attributes) as opened:
            yield opened


def event(name: str, attributes: Attributes | None = None) -> None:
    """Notes at the current span that something happened now."""
    if _tracer is not None:
        _tracer.current()[0].event(name, attributes)


def note(attributes: Attributes) -> None:
    """Sets attributes of the current span."""
    if _tracer is not None:
        _tracer.current()[0].note(attributes)


def fail(reason: str) -> None:
    """Marks the current span as failed; see `Span.fail`."""
    if _tracer is not None:
        _tracer.current()[0].fail(reason)


def current_traceparent() -> str:
    """The value to send along; where there is no trace, one begins here."""
    return known_traceparent() or follow("")


def known_traceparent() -> str:
    """The same, or nothing where there is no trace."""
    return (_tracer.current()[1] if _tracer is not None else "") or _current.get() or ""


def trace_id() -> str | None:
    """The present trace's id, 32 hexadecimal digits; None outside of any."""
    return known_traceparent()[3:35] or None


def parse(received: str) -> tuple[str, str, str] | None:
    """The trace's id, the span's id and the flags, in hexadecimal; None for what is no ``traceparent``."""
    match = _PATTERN.fullmatch(received)
    return (match[1], match[2], match[3]) if match else None


def follow(received: str) -> str:
    """The same trace with a span of our own; a new trace where nothing usable was received."""
    trace, _, flags = parse(received) or (secrets.token_hex(16), "", "01")
    return f"00-{trace}-{secrets.token_hex(8)}-{flags}"


@contextmanager
def following(received: str) -> Iterator[str]:
    """What happens inside belongs to the trace received, or to a new one."""
    if _tracer is not None:
        chosen = received if parse(received) else follow("")
        with _tracer.follow(chosen):
            yield chosen
        return
    chosen = follow(received)
    token = _current.set(chosen)
    try:
        yield chosen
    finally:
        _current.reset(token)


class TraceMiddleware:
    """What a request causes belongs to the caller's trace; the request itself is a span of it. The answer
    says which trace that is, for the gateway's log and for who asks about it.

    Belongs before everything that is to be in the span. Probes and scrapes have none.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        from chassis.process import telemetry

        self.get_response = get_response
        self._start = telemetry.start_aside if telemetry.is_asked_for() else None

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path_info in QUIET:
            return self.get_response(request)
        if self._start is not None:
            self._start("web")
            self._start = None
        method = request.method or "GET"
        attributes = _asked(request, method) if is_on() else None
        with entered(method, request.headers.get(HEADER, ""), kind="server", attributes=attributes) as opened:
            trace = trace_id()
            about.note(trace_id=trace)
            response = self.get_response(request)
            if opened.is_kept:
                _answered(opened, request, method, response)
            if trace is not None:
                response.headers[ID_HEADER] = trace
            return response


def _asked(request: HttpRequest, method: str) -> Attributes:
    from chassis.process import logs

    attributes = {"http.request.method": method, "url.scheme": request.scheme or "http"}
    if number := logs.request_id.get():
        attributes["strangler.request_id"] = number
    return attributes


def _answered(opened: Span, request: HttpRequest, method: str, response: HttpResponseBase) -> None:
    """Note that neither path nor query are attributes: a password's reset, for one, has its secret there."""
    attributes: dict[str, str | int] = {"http.response.status_code": response.status_code}
    route = routes.name(request.resolver_match)
    if route is not None:
        attributes["http.route"] = route
        opened.rename(f"{method} {route}")
    opened.note(attributes)
    if response.status_code >= 500:
        opened.fail(str(response.status_code))
