"""Starts OpenTelemetry where the standard environment asks for it, in a process that has its last fork behind it.

It is asked for where ``OTEL_EXPORTER_OTLP_ENDPOINT`` or ``OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`` names a collector,
unless ``OTEL_SDK_DISABLED`` is ``true`` or ``OTEL_TRACES_EXPORTER`` is ``none``. Otherwise nothing of the library is
imported.

Note "never a reason": no request, message or command fails or waits because of its trace. Spans wait in a bounded queue
for a thread that sends them, and are dropped where there are too many. Whatever is wrong with the settings, with the
installation or with the collector is logged once, until it changes.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections.abc import Mapping
from typing import Any

from chassis.extras import missing
from chassis.process import tracing
from chassis.process.logs import Complaint

logger = logging.getLogger("chassis.process.telemetry")

EXTRA = "tracing"
ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
SPOKEN = "http/protobuf"

_off = Complaint(logger, "tracing_off")
_starting = threading.Lock()
_started = False
_stop: Any = None


def is_asked_for() -> bool:
    """Whether the environment asks for traces."""
    return (
        any(os.environ.get(name) for name in ENDPOINTS)
        and os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() != "true"
        and os.environ.get("OTEL_TRACES_EXPORTER", "").strip().lower() != "none"
    )


def start(process: str) -> bool:
    """Sends this process' spans from now on, if they are asked for; returns whether they are sent. Raises nothing.

    ``process`` says what it is: ``web``, ``worker``, ``relay``. Call it after the last fork, before the work begins.
    A second call does nothing.
    """
    global _started, _stop  # noqa: PLW0603
    with _starting:
        if _started or not is_asked_for():
            return tracing.is_on()
        _started = True
        try:
            _check()
            try:
                from chassis.process import spans
            except ImportError as error:
                raise missing(EXTRA, error) from error
            _stop = spans.start(process, _service())
        except Exception as error:  # noqa: BLE001  see the note "never a reason"
            _off.make(_reason(error)[:500])
            return False
        atexit.register(stop)
        return True


def start_aside(process: str) -> None:
    """The same in a thread of its own, for a server that tells nobody when it has forked: its first request does not
    wait for imports, and has no span."""
    if not _started:
        threading.Thread(target=start, args=(process,), name="chassis-telemetry", daemon=True).start()


def stop() -> None:
    """Sends what waits, for at most `chassis.process.spans.STOP_SECONDS`. It runs at the end of the process, which does
    not start again."""
    global _stop
    with _starting:
        ending, _stop = _stop, None
    tracing.use(None)
    if ending is not None:
        ending()


def _check() -> None:
    """Raises ValueError for what would not be what was asked for."""
    exporter = os.environ.get("OTEL_TRACES_EXPORTER", "").strip() or "otlp"
    if exporter != "otlp":
        raise ValueError(f"OTEL_TRACES_EXPORTER={exporter!r} is neither otlp nor none")
    protocol = next(filter(None, map(os.environ.get, PROTOCOLS)), SPOKEN)
    if protocol != SPOKEN:
        raise ValueError(f"OTEL_EXPORTER_OTLP_PROTOCOL={protocol!r}: only {SPOKEN} is spoken here, mostly at port 4318")


def _reason(error: Exception) -> str:
    """Names the variable; where the library does not say which one, those that it may be."""
    said = f"{type(error).__name__}: {error}"
    if "OTEL_" in said or isinstance(error, ImportError):
        return said
    given = sorted(name for name in os.environ if name.startswith("OTEL_"))
    return f"{said} It is one of {', '.join(given)}."


def _service() -> str:
    """The name that the project's log lines have, for where the environment names none."""
    from django.conf import settings

    formatters: Mapping[str, Any] = (getattr(settings, "LOGGING", None) or {}).get("formatters", {})
    return next((str(each["service"]) for each in formatters.values() if each.get("service")), "")
