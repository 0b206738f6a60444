"""Envoy's configuration at its start: a listener, an admin port, and the files that it follows.

Note "the client's address": Envoy finds the address by the connection, or by the addresses that trusted proxies have
appended to X-Forwarded-For. It writes the address to x-envoy-external-address, over any value that came under that
name. Processes get it as the only address in X-Forwarded-For. So they need not know how many proxies there are, and an
address that a client has made up is gone. The header is used, and not Envoy's memory of the request, for a bounce loses
that memory, and begins anew with the connection's address.

Note "slow clients": a client has HEADERS_TIMEOUT for its headers. For its whole request it has the time that the
largest body takes at SLOWEST_BYTES_PER_SECOND bytes per second. The number of connections and the memory for bodies are
limited to what Envoy can bear. When memory becomes short, clients that have stopped sending or reading are given up
after IDLE_IN_NEED; when it becomes shorter still, new clients are refused.

Note "upgrades": a WebSocket goes both ways and has no end for which one could wait, so it passes without the filter
that keeps bodies. Then the request must not have a body: only a GET that says no length may begin a WebSocket.

Note "long patterns": Envoy refuses all routes if one pattern is larger than its limit, and with the default limit the
third variable of a path is too much. Our patterns come from strangler.toml and not from strangers.

Note "what a client has written": a log must not have a mail address, a token or a password, and a client may put one
anywhere. So the log has no query and no client's address. A path, and an id that a client has sent, are there only if
they are plain: Envoy can leave out a whole value, but not a part. A path is plain without ``@`` and ``%`` and without
20 letters and digits in a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from strangler.adapters.envoy import files
from strangler.adapters.envoy.answers import local_replies
from strangler.adapters.envoy.buffering import buffer_filter
from strangler.adapters.envoy.headers import MOST_KIB, ORIGINAL_URL, header_rules, strip_headers
from strangler.adapters.envoy.limits import answer_mutations, limit_filter
from strangler.adapters.envoy.shared_limits import service_clusters
from strangler.adapters.envoy.tokens import key_clusters, token_filter
from strangler.adapters.envoy.tracing import collector_cluster, context_mutations, runtime, tracing
from strangler.adapters.telemetry.environment import Traces
from strangler.domain.limit import Limit
from strangler.domain.project import MAX_BODY, Issuer

BOOTSTRAP_FILE = "bootstrap.json"
ROUTE_CONFIGURATION = "routes"
STAT_PREFIX = "gateway"
# A body that fits here is bounced inside the gateway; the old owner itself forwards a larger one.
BUFFER_BYTES = 1 << 20

HEADERS_TIMEOUT = "10s"
SLOWEST_BYTES_PER_SECOND = 128 * 1024
LEAST_REQUEST_SECONDS = 60
CONNECTIONS = 4096
IDLE_IN_NEED = "2s"
# Envoy uses about 100 MiB more than it counts.
HEAP_BYTES = 128 * 1024 * 1024
# The host name for a client of HTTP/1.0 that sends none; see ALLOWED_HOSTS.
UNNAMED_HOST = "localhost"

LARGEST_PATTERN = 1_000_000  # instructions of a compiled pattern; see the note "long patterns"

CLIENT_HEADER = "x-envoy-external-address"
# The addresses whose requests Envoy takes for internal ones: these may ask it for more, and it does not tell their
# address. Without a range Envoy would take all private addresses for internal.
NOBODY = {"address_prefix": "255.255.255.255", "prefix_len": 32}

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})

# What routes say of their requests, for the log.
LOGGED = "strangler"
MASK = "***"
# See the note "what a client has written".
_PLAIN_PATH = "[^A-Za-z0-9/._~-]", "[A-Za-z0-9]{20}"
_PLAIN_ID = "^[A-Za-z0-9._-]+$"

_LOG_FIELDS = {
    "time": "%START_TIME%",
    "level": "info",
    "service": "gateway",
    "event": "request",
    "trace_id": "%RESP(X-TRACE-ID)%",
    "request_id": f"%CEL(request.id.matches('{_PLAIN_ID}') ? request.id : '{MASK}')%",
    "capability": f"%METADATA(ROUTE:{LOGGED}:capability)%",
    "epoch": f"%METADATA(ROUTE:{LOGGED}:epoch)%",
    "side": f"%METADATA(CLUSTER:{LOGGED}:side)%",
    "bounced_to": "%REQ(X-STRANGLER-TO)%",
    "method": "%REQ(:METHOD)%",
    "route": f"%METADATA(ROUTE:{LOGGED}:route)%",
    "path": "%CEL("
    + " || ".join(f"request.url_path.matches('{pattern}')" for pattern in _PLAIN_PATH)
    + f" ? '{MASK}' : request.url_path)%",
    "status": "%RESPONSE_CODE%",
    "flags": "%RESPONSE_FLAGS%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "milliseconds": "%DURATION%",
    "bytes_received": "%BYTES_RECEIVED%",
    "bytes_sent": "%BYTES_SENT%",
    "cluster": "%UPSTREAM_CLUSTER%",
    "rule": "%ROUTE_NAME%",
}
_ACCESS_LOG = {"json_format": _LOG_FIELDS, "omit_empty_values": True}
# Envoy's clock is the machine's, so its times say their offset.
_OWN_LOG = {"time": "%Y-%m-%dT%T.%e%z", "level": "%l", "service": "gateway", "logger": "%n", "event": "%j"}


def write_bootstrap(
    directory: Path,
    *,
    port: int,
    admin_port: int,
    access_log: Path | None,
    host: str = "127.0.0.1",
    admin_host: str = "127.0.0.1",
    trusted_hops: int = 0,
    largest_body: int = MAX_BODY,
    traces: Traces | None = None,
    issuers: Sequence[Issuer] = (),
    limits: Sequence[Limit] = (),
) -> None:
    """Without an ``access_log`` requests are logged on standard output.

    Envoy believes the ``trusted_hops`` proxies in front of it: who the client is, and how and by which name the request
    came. ``largest_body``, in bytes, decides how long a request may take to arrive; see the note "slow clients".

    An admin port that others can reach shows only statistics: otherwise it could be used to end the gateway.

    Routes that need a token take one of any of the ``issuers``; nobody asks more often than the ``limits`` say. With
    ``traces`` each request has its spans; without, the file has no word of traces.
    """
    admin: dict[str, object] = {"address": _address(admin_host, admin_port), "ignore_global_conn_limit": True}
    if admin_host not in LOOPBACK:
        admin["allow_paths"] = [{"exact": "/ready"}, {"prefix": "/stats"}]
    own = _reached(host, port)
    filters = [_tell_the_client(limits), *token_filter(issuers, own), *limit_filter(limits)]
    manager = _connection_manager(directory, access_log, trusted_hops, largest_body, filters)
    settings, clusters = _patterns(), [*key_clusters(issuers, own), *service_clusters(limits)]
    if traces is not None:
        typed = manager["typed_config"]
        typed |= tracing(traces)
        typed["early_header_mutation_extensions"] = [
            strip_headers(trusted_hops, *context_mutations(trusted_hops, traces.key))
        ]
        settings |= runtime(traces)
        clusters.append(collector_cluster(traces))
    document = {
        "node": {"id": "gateway", "cluster": "gateway"},
        "application_log_config": {"log_format": {"json_format": _OWN_LOG}},
        "admin": admin,
        "overload_manager": _overload_manager(),
        "layered_runtime": {"layers": [{"name": "patterns", "static_layer": settings}]},
        "dynamic_resources": {"cds_config": files.watched(directory, files.CLUSTERS_FILE)},
        "static_resources": {
            "listeners": [
                {
                    "name": "gateway",
                    "address": _address(host, port),
                    "per_connection_buffer_limit_bytes": BUFFER_BYTES,
                    "filter_chains": [{"filters": [manager]}],
                }
            ],
            **({"clusters": clusters} if clusters else {}),
        },
    }
    files.replace(directory, BOOTSTRAP_FILE, document)


def _overload_manager() -> dict[str, object]:
    """See the note "slow clients"."""
    heap, connections = (
        "envoy.resource_monitors.fixed_heap",
        "envoy.resource_monitors.global_downstream_max_connections",
    )
    return {
        "refresh_interval": "0.25s",
        "resource_monitors": [
            _monitor(heap, "fixed_heap.v3.FixedHeapConfig", max_heap_size_bytes=HEAP_BYTES),
            _monitor(
                connections,
                "downstream_connections.v3.DownstreamConnectionsConfig",
                max_active_downstream_connections=CONNECTIONS,
            ),
        ],
        "actions": [
            _action("shrink_heap", {"name": heap, "threshold": {"value": 0.85}}),
            _shorter_waits({"name": heap, "scaled": {"scaling_threshold": 0.5, "saturation_threshold": 0.85}}),
            _action("disable_http_keepalive", {"name": heap, "threshold": {"value": 0.92}}),
            _action("stop_accepting_requests", {"name": heap, "threshold": {"value": 0.97}}),
        ],
    }


def _monitor(name: str, message: str, **limits: int) -> dict[str, object]:
    typed = {"@type": files.type_url(f"envoy.extensions.resource_monitors.{message}"), **limits}
    return {"name": name, "typed_config": typed}


def _shorter_waits(trigger: dict[str, object]) -> dict[str, object]:
    timers = ("HTTP_DOWNSTREAM_CONNECTION_IDLE", "HTTP_DOWNSTREAM_STREAM_IDLE")
    config = files.type_url("envoy.config.overload.v3.ScaleTimersOverloadActionConfig")
    factors = [{"timer": timer, "min_timeout": IDLE_IN_NEED} for timer in timers]
    action = _action("reduce_timeouts", trigger)
    return {**action, "typed_config": {"@type": config, "timer_scale_factors": factors}}


def _action(name: str, trigger: dict[str, object]) -> dict[str, object]:
    return {"name": f"envoy.overload_actions.{name}", "triggers": [trigger]}


def _patterns() -> dict[str, object]:
    return {f"re2.max_program_size.{level}_level": LARGEST_PATTERN for level in ("error", "warn")}


def _connection_manager(
    directory: Path, access_log: Path | None, trusted_hops: int, largest_body: int, filters: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    router = {
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": files.type_url("envoy.extensions.filters.http.router.v3.Router")},
    }
    return {
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": files.type_url(
                "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
            ),
            "stat_prefix": STAT_PREFIX,
            "rds": {
                "route_config_name": ROUTE_CONFIGURATION,
                "config_source": files.watched(directory, files.ROUTES_FILE),
            },
            "use_remote_address": True,
            "xff_num_trusted_hops": trusted_hops,
            "internal_address_config": {"cidr_ranges": [NOBODY]},
            "generate_request_id": True,
            "preserve_external_request_id": True,
            "normalize_path": True,
            "merge_slashes": False,
            "early_header_mutation_extensions": [strip_headers(trusted_hops)],
            "common_http_protocol_options": {"idle_timeout": "300s", **header_rules()},
            "http_protocol_options": {"accept_http_10": True, "default_host_for_http_10": UNNAMED_HOST},
            # A path reaches its process as it was written: the gateway does not decide what %2F means there.
            "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
            "max_request_headers_kb": MOST_KIB,
            "request_headers_timeout": HEADERS_TIMEOUT,
            "request_timeout": f"{max(LEAST_REQUEST_SECONDS, largest_body // SLOWEST_BYTES_PER_SECOND)}s",
            "stream_idle_timeout": "60s",
            "http_filters": [*filters, buffer_filter(), router],
            # A connection that goes both ways has no end for which one could wait.
            "upgrade_configs": [{"upgrade_type": "websocket", "filters": [_only_without_body(), *filters, router]}],
            "local_reply_config": local_replies(),
            "access_log": [_access_log(access_log)],
        },
    }


def _tell_the_client(limits: Sequence[Limit]) -> dict[str, Any]:
    """Tells a process who the client is, see the note "the client's address", and a client how often it may ask.

    It also removes what a bounce would add.
    """
    written = {
        "header": {"key": "x-forwarded-for", "value": f"%REQ({CLIENT_HEADER})%"},
        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
    }
    return {
        "name": "envoy.filters.http.header_mutation",
        "typed_config": {
            "@type": files.type_url("envoy.extensions.filters.http.header_mutation.v3.HeaderMutation"),
            "mutations": {
                "request_mutations": [{"append": written}, {"remove": ORIGINAL_URL}],
                "response_mutations": answer_mutations(limits),
            },
        },
    }


def _only_without_body() -> dict[str, object]:
    """See the note "upgrades"."""
    get = {"header": {"name": ":method", "string_match": {"exact": "GET"}}}
    framed = [{"header": {"name": name, "present_match": True}} for name in ("content-length", "transfer-encoding")]
    rules = [get, *({"not_rule": each} for each in framed)]
    policy = {"permissions": [{"and_rules": {"rules": rules}}], "principals": [{"any": True}]}
    return {
        "name": "envoy.filters.http.rbac",
        "typed_config": {
            "@type": files.type_url("envoy.extensions.filters.http.rbac.v3.RBAC"),
            "rules": {"action": "ALLOW", "policies": {"without-body": policy}},
        },
    }


def _access_log(path: Path | None) -> dict[str, object]:
    if path is None:
        # Not the file /dev/stdout: in a container Envoy's user may not be allowed to open it.
        stdout = files.type_url("envoy.extensions.access_loggers.stream.v3.StdoutAccessLog")
        return {
            "name": "envoy.access_loggers.stdout",
            "typed_config": {"@type": stdout, "log_format": _ACCESS_LOG},
        }
    return {
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": files.type_url("envoy.extensions.access_loggers.file.v3.FileAccessLog"),
            "path": str(path),
            "log_format": _ACCESS_LOG,
        },
    }


def _reached(host: str, port: int) -> str:
    """Where a listener can be reached from its own machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  compared, and not listened at
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _address(host: str, port: int) -> dict[str, object]:
    return {"socket_address": {"address": host, "port_value": port}}
