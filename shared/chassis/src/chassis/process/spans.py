"""OpenTelemetry's part: the spans of `chassis.process.tracing`, those of database statements, and their way out.

It is imported only by `chassis.process.telemetry`, after the last fork; the extra ``tracing`` brings what it needs.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from types import TracebackType
from typing import Any, Self

from django.db import connections
from django.db.backends.signals import connection_created
from django.utils.module_loading import import_string
from opentelemetry import context, trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import NonRecordingSpan, ProxyTracerProvider, SpanContext, SpanKind, Status, StatusCode
from opentelemetry.trace import TraceFlags as Flags

from chassis import settings
from chassis.process import queries, tracing
from chassis.process.export import Exporter
from chassis.process.tracing import NO_SPAN, Attributes, Kind, Span

logger = logging.getLogger("chassis.process.telemetry")

STOP_SECONDS = 1.5  # for what waits to be sent at the end of the process
QUEUE_SPANS = 1024  # that wait for the collector; about two kilobytes each
KEPT_CHARACTERS = 2_000  # of a statement whose description is kept
MOST_COMPLAINTS = 20  # of the library in the life of a process

KINDS = {
    "internal": SpanKind.INTERNAL,
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "producer": SpanKind.PRODUCER,
    "consumer": SpanKind.CONSUMER,
}
SYSTEMS = {"postgresql": "postgresql", "mysql": "mysql", "oracle": "oracle.db", "sqlite": "sqlite"}


def start(process: str, service: str) -> Callable[[], None]:
    """Begins; returns what ends it. Raises whatever the library does not accept in the environment.

    A provider that the project has set itself stays; the spans are then among its own.
    """
    ending: Callable[[], None] = _nothing
    provider: Any = trace.get_tracer_provider()
    if isinstance(provider, ProxyTracerProvider):
        _hear_the_library()
        provider = _provider(process, service)
        trace.set_tracer_provider(provider)
        ending = provider.shutdown
    tracer = OpenTelemetryTracer(provider.get_tracer("chassis"))
    tracing.use(tracer)
    watch = Statements(tracer)
    connection_created.connect(watch.connected, weak=False, dispatch_uid="chassis.process.spans")
    for connection in connections.all(initialized_only=True):
        watch.connected(None, connection)
    _instrument()

    def end() -> None:
        connection_created.disconnect(dispatch_uid="chassis.process.spans")
        ending()

    return end


def _nothing() -> None:
    """The provider is the project's to end."""


def _provider(process: str, service: str) -> TracerProvider:
    named = os.environ.get("OTEL_SERVICE_NAME") or "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    attributes: dict[str, Any] = {"strangler.process": process, "process.pid": os.getpid()}
    if service and not named:
        attributes["service.name"] = service
    # Its own hook at the end of the process would wait for 30 seconds.
    provider = TracerProvider(resource=Resource.create(attributes), shutdown_on_exit=False)
    room = None if os.environ.get("OTEL_BSP_MAX_QUEUE_SIZE") else QUEUE_SPANS
    provider.add_span_processor(HastyProcessor(Exporter(), max_queue_size=room))
    return provider


def _instrument() -> None:
    for path in settings.instrumentors():
        try:
            import_string(path)().instrument()
        except Exception as error:  # noqa: BLE001  an instrumentation is no reason for a process not to start
            logger.warning("instrumentation_failed", extra={"instrumentor": path, "reason": f"{error}"[:500]})


class HastyProcessor(BatchSpanProcessor):
    """Sends in a thread of its own, and does not hold up the end of the process."""

    def shutdown(self) -> None:
        # The library's own gives a collector that is silent 30 seconds.
        self._batch_processor.shutdown(timeout_millis=int(STOP_SECONDS * 1000))


class _Library(logging.Handler):
    """Tells what the library logs, each once."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._told: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        if str(record.msg) not in self._told and len(self._told) < MOST_COMPLAINTS:
            self._told.add(str(record.msg))
            text = record.getMessage().partition("\n")[0][:300]
            logger.warning("tracing_complains", extra={"reason": text, "of": record.name})


_library = _Library()


def _hear_the_library() -> None:
    library = logging.getLogger("opentelemetry")
    if _library not in library.handlers:
        library.addHandler(_library)
        library.propagate = False


class OpenTelemetryTracer:
    """A `chassis.process.tracing.Tracer`."""

    def __init__(self, tracer: trace.Tracer) -> None:
        self._tracer = tracer

    def open(self, name: str, kind: Kind, parent: str, attributes: Attributes | None) -> Span:
        return KeptSpan(self.start(name, kind, parent, attributes))

    def start(self, name: str, kind: Kind, parent: str, attributes: Attributes | None) -> trace.Span:
        received = _context(parent) if parent else None
        return self._tracer.start_span(name, context=received, kind=KINDS[kind], attributes=attributes)

    def current(self) -> tuple[Span, str]:
        found = trace.get_current_span()
        told = found.get_span_context()
        if not told.is_valid:
            return NO_SPAN, ""
        return KeptSpan(found), f"00-{told.trace_id:032x}-{told.span_id:016x}-{told.trace_flags & 1:02x}"

    @contextmanager
    def follow(self, traceparent: str) -> Iterator[None]:
        token = context.attach(_context(traceparent) or context.Context())
        try:
            yield
        finally:
            context.detach(token)


def _context(traceparent: str) -> context.Context | None:
    parsed = tracing.parse(traceparent)
    if parsed is None:
        return None
    number, span, flags = (int(part, 16) for part in parsed)
    return trace.set_span_in_context(
        NonRecordingSpan(SpanContext(number, span, is_remote=True, trace_flags=Flags(flags)))
    )


class KeptSpan(Span):
    """One of OpenTelemetry's."""

    __slots__ = ("_span", "_token")

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def __enter__(self) -> Self:
        self._token = context.attach(trace.set_span_in_context(self._span))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        context.detach(self._token)
        if kind is not None:
            self.fail(kind.__qualname__)
        self._span.end()

    @property
    def is_kept(self) -> bool:
        return self._span.is_recording()

    def note(self, attributes: Attributes) -> None:
        self._span.set_attributes(dict(attributes))

    def event(self, name: str, attributes: Attributes | None = None) -> None:
        self._span.add_event(name, attributes)

    def rename(self, name: str) -> None:
        self._span.update_name(name)

    def fail(self, reason: str) -> None:
        self._span.set_attribute("error.type", reason)
        self._span.set_status(Status(StatusCode.ERROR))

    def end(self) -> None:
        self._span.end()


class Statements:
    """A span for each statement that Django's cursors run within a span; others, such as a relay's looks, have none."""

    def __init__(self, tracer: OpenTelemetryTracer) -> None:
        self._tracer = tracer

    def connected(self, sender: Any, connection: Any, **_: Any) -> None:
        """Called with each new connection to a database."""
        if not any(isinstance(each, _Watched) for each in connection.execute_wrappers):
            connection.execute_wrappers.append(_Watched(self._tracer, connection))


class _Watched:
    """One of Django's ``execute_wrappers``."""

    def __init__(self, tracer: OpenTelemetryTracer, connection: Any) -> None:
        self._tracer = tracer
        self._system = SYSTEMS.get(connection.vendor, connection.vendor)
        self._namespace = str(connection.settings_dict.get("NAME") or "")

    def __call__(self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, told: Any) -> Any:
        if not tracing.is_on() or not trace.get_current_span().is_recording():
            return execute(sql, params, many, told)
        statement = sql if isinstance(sql, str) else ""
        # A long text is seldom the same twice, and would fill the memory.
        look = _described if len(statement) <= KEPT_CHARACTERS else _described.__wrapped__
        name, attributes = look(self._system, self._namespace, statement)
        span = self._tracer.start(name, "client", "", attributes)
        try:
            return execute(sql, params, many, told)
        except BaseException as error:
            span.set_attribute("error.type", getattr(error.__cause__, "sqlstate", None) or type(error).__qualname__)
            span.set_status(Status(StatusCode.ERROR))
            raise
        finally:
            span.end()


@lru_cache(maxsize=512)
def _described(system: str, namespace: str, statement: str) -> tuple[str, Attributes]:
    """The name of a statement's span, and its attributes."""
    described = queries.describe(statement)
    attributes = {
        "db.system.name": system,
        "db.namespace": namespace,
        "db.operation.name": described.operation,
        "db.collection.name": described.table,
        "db.query.text": described.text,
    }
    return described.name, {name: value for name, value in attributes.items() if value}
