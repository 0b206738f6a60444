"""Sends spans to a collector: OTLP over HTTP in protobuf, as the standard environment says.

OpenTelemetry has an exporter of its own, by way of a library that REST framework imports into each process as soon as
it is installed, also where nothing is traced. And it logs every batch that it cannot send. So only its encoder is used.
"""

from __future__ import annotations

import gzip
import logging
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import unquote, urlsplit

import urllib3
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from chassis.process.logs import Complaint

logger = logging.getLogger("chassis.process.telemetry")

PATH = "/v1/traces"
LONGEST_SECONDS = 10.0  # for one batch; the standard's default, and here the most
COMPRESSIONS = ("none", "gzip")
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110, 5.6.2: a token


class Exporter(SpanExporter):
    """Tells once that the collector takes nothing, and once that it does again. What it does not take is dropped.

    Raises ValueError for a setting that cannot be followed.
    """

    def __init__(self) -> None:
        self._url = _url()
        self._headers = {"Content-Type": "application/x-protobuf", **_headers()}
        self._zipped = _compressed()
        if self._zipped:
            self._headers["Content-Encoding"] = "gzip"
        files = {"ca_certs": "CERTIFICATE", "cert_file": "CLIENT_CERTIFICATE", "key_file": "CLIENT_KEY"}
        trust: dict[str, Any] = {key: value for key, name in files.items() if (value := _setting(name))}
        timeout = urllib3.Timeout(total=_seconds())
        self._pool = urllib3.PoolManager(maxsize=1, retries=False, timeout=timeout, **trust)
        self._complaint = Complaint(logger, "spans_not_sent")

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Returns whether they were taken; never raises."""
        try:
            detail = self._send(encode_spans(spans).SerializeToString())
        except Exception as error:  # noqa: BLE001  a span is no reason for anything; see `chassis.process.telemetry`
            detail = type(error).__name__
        if detail:
            # The detail is not part of the reason, for it may be another each time.
            where = urlsplit(self._url).netloc.rpartition("@")[2]
            self._complaint.make("the collector does not take them", collector=where, detail=detail)
            return SpanExportResult.FAILURE
        self._complaint.over()
        return SpanExportResult.SUCCESS

    def _send(self, body: bytes) -> str:
        """What is wrong, or nothing."""
        body = gzip.compress(body) if self._zipped else body
        answer = self._pool.request("POST", self._url, body=body, headers=self._headers, redirect=False)
        return "" if 200 <= answer.status < 300 else f"it answered {answer.status}"

    def shutdown(self) -> None:
        self._pool.clear()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True


def _setting(name: str) -> str:
    """The variable for traces, or else that for everything."""
    wanted = (os.environ.get(f"OTEL_EXPORTER_OTLP_{signal}{name}", "").strip() for signal in ("TRACES_", ""))
    return next(filter(None, wanted), "")


def _url() -> str:
    own = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "").strip()
    url = own or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").strip().rstrip("/") + PATH
    # The client's own reading: what it refuses would be refused with each batch.
    with suppress(urllib3.exceptions.LocationParseError):
        parts = urllib3.util.parse_url(url)
        if parts.scheme in ("http", "https") and parts.host:
            return url
    # Without the text: there may be a password in it.
    raise ValueError("OTEL_EXPORTER_OTLP_ENDPOINT is no address: write it like http://collector:4318")


def _headers() -> dict[str, str]:
    pairs = [pair.partition("=") for pair in _setting("HEADERS").split(",") if pair.strip()]
    if not all(name.strip() and equals for name, equals, _ in pairs):
        # Without the text: it is where keys are given.
        raise ValueError("OTEL_EXPORTER_OTLP_HEADERS is no list of pairs: write it like name=value,other=value")
    found = {unquote(name.strip()): unquote(value.strip()) for name, _, value in pairs}
    for name, value in found.items():
        if not (_NAME.fullmatch(name) and value.isprintable() and value.isascii()):
            raise ValueError("OTEL_EXPORTER_OTLP_HEADERS has characters that no header may have")
    return found


def _seconds() -> float:
    text = _setting("TIMEOUT")
    try:
        value = float(text or LONGEST_SECONDS)
    except ValueError:
        value = -1.0
    if not value > 0:
        raise ValueError(f"OTEL_EXPORTER_OTLP_TIMEOUT={text!r} is no number above 0")
    return min(value, LONGEST_SECONDS)


def _compressed() -> bool:
    text = _setting("COMPRESSION").lower() or "none"
    if text not in COMPRESSIONS:
        raise ValueError(f"OTEL_EXPORTER_OTLP_COMPRESSION={text!r} is neither gzip nor none")
    return text == "gzip"
