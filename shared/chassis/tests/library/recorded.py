"""OpenTelemetry's own SDK in this process, whose spans are kept in a list instead of being sent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from chassis.process import tracing
from chassis.process.spans import OpenTelemetryTracer
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


class Recorded:
    """The spans that have ended, in the order of their ends."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        (found,) = self.named(name)
        return found

    def parent_of(self, span: ReadableSpan) -> str:
        """The name of its parent, empty for a root."""
        parent = span.parent.span_id if span.parent else None
        return next((each.name for each in self.spans if each.context.span_id == parent), "")

    def events(self, name: str) -> list[dict[str, object]]:
        """The attributes of the events with that name, of whichever span."""
        return [dict(event.attributes or {}) for span in self.spans for event in span.events if event.name == name]


@contextmanager
def recording() -> Iterator[Recorded]:
    """Inside, this process' spans are recorded."""
    found = Recorded()
    tracing.use(OpenTelemetryTracer(found.provider.get_tracer("tests")))
    try:
        yield found
    finally:
        tracing.use(None)
