"""The tool's spans by OpenTelemetry.

Note "after the work": spans stay in memory while a verb works, and nothing is sent before its end. A collector that
hangs can hold up no pause, for nobody speaks to it in one. At the end a thread has SEND_SECONDS to send them; what is
not sent then is dropped, told in one line, and changes nothing of how the verb ended.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

import urllib3

from strangler.adapters.telemetry import environment
from strangler.adapters.telemetry.environment import Traces, Warn
from strangler.domain.errors import StranglerError
from strangler.ports.tracer import UNTRACED, Span, Tracer, Value

if TYPE_CHECKING:
    from opentelemetry import trace
    from opentelemetry.sdk.trace import ReadableSpan

SERVICE = "strangler"
EXTRA = "strangler[tracing]"
PREFIX = "strangler."
SEND_SECONDS = 2.0
MOST_SPANS = 4096


class AskedTracer(Tracer):
    """Traces where the environment asks for it, and looks at the environment and for the library with the first span.

    ``warn`` gets each thing that is wrong as a line.
    """

    def __init__(self, environ: Mapping[str, str], warn: Warn) -> None:
        self._environ = environ
        self._warn = warn
        self._sending = threading.Lock()
        self._begun = False

    def span(self, name: str, **attributes: Value) -> AbstractContextManager[Span]:
        """Keeps it until `send`."""
        if not environment.asked(self._environ):
            return UNTRACED.span(name)
        self._begun = True
        return self._keeper.span(name, attributes) if self._keeper is not None else UNTRACED.span(name)

    def send(self, within: float = SEND_SECONDS) -> None:
        """Sends what is kept, see the note "after the work"; not where another thread is sending. Raises nothing."""
        keeper = self._keeper if self._begun else None
        if keeper is None or not keeper.spans or not self._sending.acquire(blocking=False):
            return
        spans = [keeper.spans.popleft() for _ in range(len(keeper.spans))]
        sent = threading.Event()

        def work() -> None:
            try:
                if keeper.export(spans):
                    sent.set()
            finally:
                self._sending.release()

        thread = threading.Thread(target=work, name="spans", daemon=True)
        thread.start()
        thread.join(within)
        if not sent.is_set():
            self._warn(f"the collector at {keeper.collector} has not taken the spans; nothing else is changed by it")

    def send_aside(self) -> None:
        """Has another thread send what is kept: who works on does not wait for a collector that hangs."""
        if self._begun and self._keeper is not None and self._keeper.spans and not self._sending.locked():
            threading.Thread(target=self.send, name="spans-aside", daemon=True).start()

    @cached_property
    def _keeper(self) -> _Keeper | None:
        traces = environment.read(self._environ, service=SERVICE, warn=self._warn)
        if traces is None:
            return None
        try:
            return _Keeper(traces)
        except ImportError:
            self._warn(f"OpenTelemetry is not installed; nothing is traced. pip install '{EXTRA}' brings it")
        except Exception as error:  # noqa: BLE001  whatever the library does not accept: see the note "never a reason"
            self._warn(f"OpenTelemetry does not start ({type(error).__name__}: {_line(error)}); nothing is traced")
        return None


class _Keeper:
    """The library's part; raises ImportError where it is not installed."""

    def __init__(self, traces: Traces) -> None:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

        spans: deque[ReadableSpan] = deque(maxlen=MOST_SPANS)

        class Keeping(SpanProcessor):
            def on_end(self, span: ReadableSpan) -> None:
                spans.append(span)

        logging.getLogger("opentelemetry").propagate = False
        logging.getLogger("opentelemetry").addHandler(logging.NullHandler())
        sampler = TraceIdRatioBased(traces.ratio)
        told: dict[str, Any] = {
            **traces.resource,
            "service.name": traces.service,
            "process.pid": os.getpid(),
            "process.runtime.version": sys.version.partition(" ")[0],
        }
        provider = TracerProvider(
            resource=Resource(told),
            sampler=ParentBased(sampler) if traces.parent_based else sampler,
            shutdown_on_exit=False,
        )
        provider.add_span_processor(Keeping())
        self.spans = spans
        self.collector = traces.collector
        self._traces = traces
        self._encode = encode_spans
        self._tracer = provider.get_tracer(SERVICE)
        self._error = trace.Status(trace.StatusCode.ERROR)

    @contextmanager
    def span(self, name: str, attributes: Mapping[str, Value]) -> Iterator[Span]:
        with self._tracer.start_as_current_span(name, record_exception=False, set_status_on_exception=False) as begun:
            span = _Kept(begun)
            span.note(**attributes)
            try:
                yield span
            except BaseException as error:
                self._record(begun, error)
                raise

    def export(self, spans: list[ReadableSpan]) -> bool:
        """Raises nothing; whatever is wrong, the spans have not been taken."""
        pool = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(total=SEND_SECONDS))
        headers = {**self._traces.headers, "content-type": "application/x-protobuf"}
        try:
            body = self._encode(spans).SerializeToString()
            return 200 <= pool.request("POST", self._traces.url, body=body, headers=headers).status < 300
        except (urllib3.exceptions.HTTPError, ValueError):
            return False

    def _record(self, span: trace.Span, error: BaseException) -> None:
        """The message of an error of ours is written for people; another's may have anything in it."""
        ours = isinstance(error, StranglerError)
        named = error.id if isinstance(error, StranglerError) else type(error).__qualname__
        span.set_status(self._error)
        span.set_attribute("error.type", named)
        told: dict[str, Any] = {"exception.type": type(error).__qualname__}
        if ours:
            told["exception.message"] = str(error)
        span.add_event("exception", told)


class _Kept(Span):
    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def note(self, **attributes: Value) -> None:
        """Under names that begin with PREFIX."""
        self._span.set_attributes({f"{PREFIX}{name}": value for name, value in attributes.items() if value is not None})


def _line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]
