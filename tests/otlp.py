"""A collector for tests: takes OTLP over HTTP (protobuf) as an OpenTelemetry Collector does, and keeps what it got.

with Collector() as collector:
    run(..., env={"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint})
    collector.await_(lambda spans: any(span.name == "GET shelves/" for span in spans))
"""

from __future__ import annotations

import gzip
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.waiting import GENEROUS_SECONDS, eventually

PATH = "/v1/traces"
KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")
STATUSES = ("unset", "ok", "error")


@dataclass(frozen=True)
class Event:
    """Something that happened within a span."""

    name: str
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class Link:
    """A span of which another says that it has to do with it."""

    trace_id: str
    span_id: str


@dataclass(frozen=True)
class Span:
    """A span as it arrived. Ids are in hexadecimal, ``parent_id`` is empty for a root. ``kind`` is one of `KINDS`,
    ``status`` one of `STATUSES`. Times are nanoseconds since 1970."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    service: str
    kind: str
    status: str
    start: int
    end: int
    attributes: Mapping[str, Any]
    events: Sequence[Event]
    links: Sequence[Link]
    resource: Mapping[str, Any] = field(repr=False)
    scope: str = field(repr=False)


def whole(spans: Sequence[Span], *outside: str) -> bool:
    """Whether each span's parent has arrived too, save those in ``outside``. Processes send for themselves, and a
    parent ends after what it has caused: the last leaf of a tree may arrive first."""
    known = {span.span_id for span in spans}.union(outside, [""])
    return all(span.parent_id in known for span in spans)


class Collector:
    """A server on loopback. ``endpoint`` is the value for ``OTEL_EXPORTER_OTLP_ENDPOINT``.

    It answers with ``status``, after ``delay`` seconds. While ``hangs`` is set it takes what is sent, and never
    answers. All three may be changed at any time. Spans that were answered otherwise than with 200 are not kept.
    """

    def __init__(self, port: int = 0, *, status: int = 200, delay: float = 0.0, hangs: bool = False) -> None:
        self.status, self.delay, self.hangs = status, delay, hangs
        self.requests = 0
        self.headers: Mapping[str, str] = {}  # of the last export, with names in lower case
        self._spans: list[Span] = []
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", port), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def spans(self) -> list[Span]:
        """All that have arrived until now, in the order of their beginnings."""
        with self._lock:
            return sorted(self._spans, key=lambda span: span.start)

    def trace(self, trace_id: str) -> list[Span]:
        """The spans of one trace."""
        return [span for span in self.spans() if span.trace_id == trace_id]

    def forget(self) -> None:
        """Begins anew."""
        with self._lock:
            self._spans.clear()
            self.requests = 0

    def await_(
        self,
        predicate: Callable[[list[Span]], Any],
        what: str = "the spans that the test waits for",
        *,
        within: float = GENEROUS_SECONDS,
    ) -> list[Span]:
        """The spans, as soon as ``predicate`` accepts them; an assertion error that names what has arrived if it never
        does."""
        try:
            eventually(lambda: predicate(self.spans()), what, within=within)
        except AssertionError as error:
            arrived = "\n".join(f"  {span.service}: {span.name} ({span.kind})" for span in self.spans())
            raise AssertionError(f"{error}\narrived:\n{arrived}") from None
        return self.spans()

    def start(self) -> Self:
        self._thread.start()
        return self

    def close(self) -> None:
        self._ending.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    __enter__ = start

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def answer(self, body: bytes) -> int:
        """The status to answer this export with; for the server alone."""
        with self._lock:
            self.requests += 1
        if self.hangs:
            self._ending.wait()
        if self.delay:
            time.sleep(self.delay)
        if self.status == 200:
            arrived = _read(body)
            with self._lock:
                self._spans += arrived
        return self.status


class _Server(ThreadingHTTPServer):
    """Says nothing of clients that are killed."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def _handler(collector: Collector) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self._body()
            collector.headers = {name.lower(): value for name, value in self.headers.items()}
            status = collector.answer(body) if self.path == PATH else 404
            self.send_response(status)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
                body = b"".join(iter(self._chunk, b""))
            else:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

        def _chunk(self) -> bytes:
            chunk = self.rfile.read(int(self.rfile.readline().split(b";")[0], 16))
            self.rfile.readline()
            return chunk

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    return Handler


def _read(body: bytes) -> list[Span]:
    request = ExportTraceServiceRequest.FromString(body)
    return [
        _span(span, _attributes(of.resource.attributes), scoped.scope.name)
        for of in request.resource_spans
        for scoped in of.scope_spans
        for span in scoped.spans
    ]


def _span(span: Any, resource: Mapping[str, Any], scope: str) -> Span:
    return Span(
        name=span.name,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        service=str(resource.get("service.name", "")),
        kind=KINDS[span.kind],
        status=STATUSES[span.status.code],
        start=span.start_time_unix_nano,
        end=span.end_time_unix_nano,
        attributes=_attributes(span.attributes),
        events=[Event(event.name, _attributes(event.attributes)) for event in span.events],
        links=[Link(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
        resource=resource,
        scope=scope,
    )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(each) for each in value.array_value.values]
    if kind == "kvlist_value":
        return _attributes(value.kvlist_value.values)
    return getattr(value, kind) if kind else None
