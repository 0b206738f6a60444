"""The gateway's spans: Envoy's own tracer, which sends to a collector by OTLP over HTTP.

Note "the client's trace": a client's ``traceparent`` is not taken over, for it would decide what is kept here, and
could put strangers' requests into one trace. It becomes the attribute ``strangler.client_traceparent`` of a new trace.
Behind trusted proxies it is taken over: their word is believed in everything else, too.

Services call each other through the gateway, and such a call goes on in its caller's trace. Where they come in at the
listener for clients, a caller is known by a header whose name has been made from a secret of the stack,
GATEWAY_TRACE_KEY: nobody outside can send it, and it is taken off. Without the secret each such call is a trace of its
own. At the internal listener there are only callers.

Note "a bounce forgets": after an internal redirect Envoy no longer knows what was decided about the trace, and a
sampler that asks for the parent's decision would drop the rest of it. So the trace's id decides here, which gives the
same answer each time. Envoy also never sends the span of the request's second turn; the span of its way to the new
owner names that one as its parent, and so stands beside the others of the trace.

Note "never waiting": spans are sent beside the requests. Where the collector is away or too slow they are dropped: few
exports may be under way, and Envoy's start does not wait for the collector's address.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from strangler.adapters.envoy import files
from strangler.adapters.telemetry import environment
from strangler.adapters.telemetry.environment import Traces, Warn
from strangler.domain.handing import TRACE_KEY

SERVICE = "gateway"
# A process of a project cannot have this name.
COLLECTOR = "tracing/collector"
CONNECT_TIMEOUT = "1s"
EXPORT_TIMEOUT = "5s"
MOST_EXPORTS = 4
SPANS_PER_EXPORT = 512
LONGEST_TRACEPARENT = 55
CLIENTS_HEADER = "x-strangler-client-traceparent"
CONTEXT_HEADERS = ("traceparent", "tracestate", "baggage")
_PARTS_PER_MILLION = 1_000_000
_OPENTELEMETRY = "envoy.extensions.tracers.opentelemetry"

Document = dict[str, Any]


def asked_for(environ: Mapping[str, str], warn: Warn) -> Traces | None:
    """What the environment asks of the gateway; None if it asks for nothing that Envoy can do. Raises nothing."""
    traces = environment.read(environ, service=SERVICE, warn=warn)
    if traces is not None and not traces.url.startswith("http://"):
        warn(
            f"the gateway speaks to a collector without TLS only, and {traces.collector} wants it; it sends no spans. "
            "Name a collector near it, which passes them on"
        )
        return None
    return traces and replace(traces, key=_key(environ, warn))


def _key(environ: Mapping[str, str], warn: Warn) -> str:
    """The secret, or the content of the file that KEY_FILE names; empty where there is none."""
    file = environ.get(f"{TRACE_KEY}_FILE", "")
    if environ.get(TRACE_KEY) or not file:
        return environ.get(TRACE_KEY, "")
    try:
        return Path(file).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        # The line does not name the file: somebody may have given the secret itself as the name.
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        warn(f"the file that {TRACE_KEY}_FILE names cannot be read: {reason}; services' calls begin traces")
        return ""


def tracing(traces: Traces) -> Document:
    """Settings of the connection manager; see the notes."""
    return {
        "tracing": {
            "provider": {"name": "envoy.tracers.opentelemetry", "typed_config": _tracer(traces)},
            # A client may not ask to be traced; the sampler alone decides.
            "client_sampling": {"value": 0},
            "random_sampling": {"value": 100},
            "overall_sampling": {"value": 100},
            # A span for each try to reach a process: processes' spans are below it.
            "spawn_upstream_span": True,
            "operation": "%REQ(:METHOD)% %ROUTE_NAME%",
            "custom_tags": [
                # Without the query, in which there may be anything.
                {"tag": "http.url", "value": "%REQ(X-FORWARDED-PROTO)%://%REQ(:AUTHORITY)%%PATH(NQ:PATH)%"},
                {"tag": "strangler.to", "request_header": {"name": "x-strangler-to"}},
                {"tag": "strangler.capability", "request_header": {"name": "x-strangler-capability"}},
                {"tag": "strangler.client_traceparent", "request_header": {"name": CLIENTS_HEADER}},
            ],
        },
        # Otherwise a request is not traced whose client has given it a number that is no UUID.
        "request_id_extension": {
            "typed_config": {
                "@type": files.type_url("envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig"),
                "pack_trace_reason": False,
                "use_request_id_for_trace_sampling": False,
            }
        },
    }


def callers_header(key: str) -> str:
    """The header in which services send the trace to go on with; `chassis.calls.client` makes the same name."""
    return f"x-trace-{hashlib.sha256(key.encode()).hexdigest()[:32]}"


def context_mutations(trusted_hops: int, key: str) -> list[Document]:
    """What becomes of a client's context; see the note "the client's trace"."""
    if trusted_hops:
        return []
    kept = {
        "header": {"key": CLIENTS_HEADER, "value": f"%REQ(TRACEPARENT):{LONGEST_TRACEPARENT}%"},
        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
        "keep_empty_value": False,
    }
    mutations: list[Document] = [{"append": kept}, *({"remove": name} for name in CONTEXT_HEADERS)]
    if key:
        name = callers_header(key)
        taken = {
            "header": {"key": "traceparent", "value": f"%REQ({name}):{LONGEST_TRACEPARENT}%"},
            "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
            "keep_empty_value": False,
        }
        mutations += [{"append": taken}, {"remove": name}]
    return mutations


def callers_context(key: str) -> list[Document]:
    """The same where only the project's own processes come in: their context goes on as it is."""
    return [{"remove": callers_header(key)}] if key else []


def runtime(traces: Traces) -> Document:
    """When spans are sent."""
    return {
        "tracing.opentelemetry.flush_interval_ms": traces.delay_ms,
        "tracing.opentelemetry.min_flush_spans": SPANS_PER_EXPORT,
    }


def collector_cluster(traces: Traces) -> Document:
    """The collector, as a cluster; see the note "never waiting"."""
    parts = urlsplit(traces.url)
    endpoint = {"address": {"socket_address": {"address": parts.hostname, "port_value": parts.port or 80}}}
    limits = {
        "max_connections": MOST_EXPORTS,
        "max_pending_requests": MOST_EXPORTS,
        "max_requests": MOST_EXPORTS,
        "max_retries": 0,
    }
    return {
        "name": COLLECTOR,
        "type": "STRICT_DNS",
        "dns_lookup_family": "V4_PREFERRED",
        "wait_for_warm_on_init": False,
        "connect_timeout": CONNECT_TIMEOUT,
        "load_assignment": {
            "cluster_name": COLLECTOR,
            "endpoints": [{"lb_endpoints": [{"endpoint": endpoint}]}],
        },
        "circuit_breakers": {"thresholds": [limits]},
    }


def _tracer(traces: Traces) -> Document:
    headers = [
        {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
        for name, value in traces.headers.items()
    ]
    target = {"uri": traces.url, "cluster": COLLECTOR, "timeout": EXPORT_TIMEOUT}
    return {
        "@type": files.type_url("envoy.config.trace.v3.OpenTelemetryConfig"),
        "http_service": {"http_uri": target, **({"request_headers_to_add": headers} if headers else {})},
        "service_name": traces.service,
        "resource_detectors": [
            _extension(
                "resource_detectors.static_config",
                "resource_detectors.v3.StaticConfigResourceDetectorConfig",
                attributes={**traces.resource, "service.name": traces.service},
            )
        ],
        "sampler": _extension(
            "samplers.trace_id_ratio_based",
            "samplers.v3.TraceIdRatioBasedSamplerConfig",
            sampling_percentage={"numerator": round(traces.ratio * _PARTS_PER_MILLION), "denominator": "MILLION"},
        ),
    }


def _extension(name: str, message: str, **settings: Any) -> Document:
    return {
        "name": f"envoy.tracers.opentelemetry.{name}",
        "typed_config": {"@type": files.type_url(f"{_OPENTELEMETRY}.{message}"), **settings},
    }
