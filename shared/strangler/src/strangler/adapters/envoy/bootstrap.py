"""Envoy's configuration at its start: its listeners, an admin port, and the files that it follows.

Note "two doors": clients come in at one listener, and the project's own processes, which ask each other, at the
internal one. Both follow the same routes, so a move turns both at the same moment. Only requests that came in at the
internal one have INTERNAL_HEADER, which nobody can send, and which a bounce keeps; without it the routes for internal
paths lead nowhere. What protects from strangers is not asked of processes: tokens of accounts, limits of how often, a
share of the connections. No proxy of clients stands before that listener, so nothing that such proxies say is believed
there; the caller's trace goes on.

Note "the client's address": Envoy finds the address by the connection, or by the addresses that trusted proxies have
appended to X-Forwarded-For. It writes the address to x-envoy-external-address, over any value that came under that
name. Processes get it as the only address in X-Forwarded-For. So they need not know how many proxies there are, and an
address that a client has made up is gone. The header is used, and not Envoy's memory of the request, for a bounce loses
that memory, and begins anew with the connection's address.

Note "slow clients": a client has HEADERS_TIMEOUT for its headers. For its whole request it has the time that the
largest body takes at SLOWEST_BYTES_PER_SECOND bytes per second. The number of connections and the memory for bodies are
limited to what Envoy can bear. When memory becomes short, clients that have stopped sending or reading are given up
after IDLE_IN_NEED; when it becomes shorter still, new clients are refused.

Note "streams": a connection of HTTP/2 carries many requests, so the number of connections limits nothing there. So the
number of its requests at a time is limited, and what it may have sent without being read. Who takes back most of his
first RESETS requests at once, has cost much work for nothing, and loses the connection.

Note "upgrades": a WebSocket goes both ways and has no end for which one could wait, so it passes without the filter
that keeps bodies. Then the request must not have a body: only a GET that says no length may begin a WebSocket.

Note "long patterns": Envoy refuses all routes if one pattern is larger than its limit, and with the default limit the
third variable of a path is too much. Our patterns come from strangler.toml and not from strangers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from strangler.adapters.envoy import accesslog, files
from strangler.adapters.envoy.answers import local_replies
from strangler.adapters.envoy.buffering import buffer_filter
from strangler.adapters.envoy.headers import (
    CLIENT_HEADER,
    MOST_KIB,
    ORIGINAL_URL,
    header_rules,
    side_mutations,
    strip_headers,
)
from strangler.adapters.envoy.health import health_filter
from strangler.adapters.envoy.limits import answer_mutations, limit_filter
from strangler.adapters.envoy.protecting import TELLING, protecting_mutations
from strangler.adapters.envoy.reading import reading_filter
from strangler.adapters.envoy.shared_limits import service_clusters
from strangler.adapters.envoy.tokens import key_clusters, token_filter
from strangler.adapters.envoy.tracing import callers_context, collector_cluster, context_mutations, runtime, tracing
from strangler.adapters.telemetry.environment import Traces
from strangler.domain.limit import Limit
from strangler.domain.project import HEALTH, MAX_BODY, Issuer, Project
from strangler.domain.routing import INTERNAL_HEADER

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
SHED_POINTS = ("http1_server_abort_dispatch", "http2_server_go_away_and_close_on_dispatch")
HEAP_BYTES = 128 * 1024 * 1024
# See the note "streams".
STREAMS = 100
STREAM_BYTES, CONNECTION_BYTES = 64 * 1024, 1 << 20
RESETS = 200
# The host name for a client of HTTP/1.0 that sends none; see ALLOWED_HOSTS.
UNNAMED_HOST = "localhost"

LARGEST_PATTERN = 1_000_000  # instructions of a compiled pattern; see the note "long patterns"

# The addresses whose requests Envoy takes for internal ones: these may ask it for more, and it does not tell their
# address. Without a range Envoy would take all private addresses for internal.
NOBODY = {"address_prefix": "255.255.255.255", "prefix_len": 32}

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})

Document = dict[str, Any]
Place = tuple[str, int]
"""A host and a port."""


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
    internal: Place | None = None,
    health: Sequence[str] = HEALTH,
    headers: Mapping[str, str] = MappingProxyType({}),
    tell_sides: bool = False,
) -> None:
    """Without an ``access_log`` requests are logged on standard output.

    Envoy believes the ``trusted_hops`` proxies in front of it: who the client is, and how and by which name the request
    came. ``largest_body``, in bytes, decides how long a request may take to arrive; see the note "slow clients".

    An admin port that others can reach shows only statistics: otherwise it could be used to end the gateway.

    Routes that need a token take one of any of the ``issuers``; nobody asks more often than the ``limits`` say. With
    ``traces`` each request has its spans; without, the file has no word of traces.

    At ``internal``, if it is given, the project's processes ask each other; see the note "two doors". At the paths
    ``health`` Envoy says itself how it is. Clients get the ``headers`` with each answer that has them not,
    and with ``tell_sides`` also which side it comes from.
    """
    admin: Document = {"address": _address(admin_host, admin_port), "ignore_global_conn_limit": True}
    if admin_host not in LOOPBACK:
        admin["allow_paths"] = [{"exact": "/ready"}, {"prefix": "/stats"}]
    # Not where clients are counted, if there is another place.
    own = _reached(*(internal or (host, port)))
    key, told = traces.key if traces else "", tracing(traces) if traces else {}
    manager = {"access_log": accesslog.access_log(access_log), **_manners(directory, largest_body), **told}
    public = _listener(
        "gateway",
        (host, port),
        [
            _tell_the_client(limits, headers, tell_sides=tell_sides),
            *health_filter(health),
            *token_filter(issuers, own),
            *limit_filter(limits),
        ],
        [strip_headers(trusted_hops, *(context_mutations(trusted_hops, key) if traces else ()))],
        {**manager, "xff_num_trusted_hops": trusted_hops},
    )
    listeners = [public, *([_internal(internal, manager, key)] if internal else [])]
    settings, clusters = _runtime(), [*key_clusters(issuers, own), *service_clusters(limits)]
    if traces is not None:
        settings |= runtime(traces)
        clusters.append(collector_cluster(traces))
    document = {
        "node": {"id": "gateway", "cluster": "gateway"},
        "application_log_config": {"log_format": {"json_format": accesslog.OWN_LOG}},
        "admin": admin,
        "overload_manager": _overload_manager(),
        "layered_runtime": {"layers": [{"name": "patterns", "static_layer": settings}]},
        "dynamic_resources": {"cds_config": files.watched(directory, files.CLUSTERS_FILE)},
        "static_resources": {
            "listeners": listeners,
            **({"clusters": clusters} if clusters else {}),
        },
    }
    files.replace(directory, BOOTSTRAP_FILE, document)


def as_said(project: Project) -> dict[str, Any]:
    """What ``strangler.toml`` says of the gateway, for `write_bootstrap`."""
    gateway = project.gateway
    return {
        "trusted_hops": gateway.trusted_hops,
        "largest_body": project.largest_body,
        "issuers": gateway.issuers,
        "limits": gateway.limits,
        "health": gateway.health,
        "headers": gateway.headers,
        "tell_sides": gateway.tell_sides,
    }


def _overload_manager() -> dict[str, object]:
    """See the note "slow clients"."""
    heap, connections = (
        "envoy.resource_monitors.fixed_heap",
        "envoy.resource_monitors.global_downstream_max_connections",
    )
    return {
        "refresh_interval": "0.25s",
        # A client who goes on sending is never idle: its next byte ends its connection, the likelier the less is left.
        "loadshed_points": [_shed(point, heap) for point in SHED_POINTS],
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


def _shed(point: str, resource: str) -> dict[str, object]:
    scaled = {"scaling_threshold": 0.85, "saturation_threshold": 0.97}
    return {"name": f"envoy.load_shed_points.{point}", "triggers": [{"name": resource, "scaled": scaled}]}


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


def _runtime() -> Document:
    """See the notes "long patterns" and "streams"."""
    patterns = {f"re2.max_program_size.{level}_level": LARGEST_PATTERN for level in ("error", "warn")}
    return {**patterns, "overload.premature_reset_total_stream_count": RESETS}


def _internal(place: Place, manager: Document, key: str) -> Document:
    """See the note "two doors"; ``key`` is the secret by which the public listener would know a process."""
    mark = {"header": {"key": INTERNAL_HEADER, "value": "1"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
    mutations = strip_headers(0, *callers_context(key), {"append": mark})
    listener = _listener(
        "internal", place, [_tell_the_client((), {})], [mutations], {**manager, "xff_num_trusted_hops": 0}
    )
    return {**listener, "ignore_global_conn_limit": True}


def _listener(
    name: str, place: Place, filters: Sequence[Document], mutations: Sequence[Document], manager: Document
) -> Document:
    """Takes connections at ``place``; what is in them passes through ``filters``."""
    router = {
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": files.type_url("envoy.extensions.filters.http.router.v3.Router")},
    }
    filters = [reading_filter(), *filters]
    typed = {
        **manager,
        "early_header_mutation_extensions": list(mutations),
        "http_filters": [*filters, buffer_filter(max_request_bytes=BUFFER_BYTES), router],
        # A connection that goes both ways has no end for which one could wait.
        "upgrade_configs": [{"upgrade_type": "websocket", "filters": [_only_without_body(), *filters, router]}],
    }
    chain = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": typed}]
    return {
        "name": name,
        "address": _address(*place),
        "per_connection_buffer_limit_bytes": BUFFER_BYTES,
        "filter_chains": [{"filters": chain}],
    }


def _manners(directory: Path, largest_body: int) -> Document:
    """The settings of every connection manager. All count under one name, so that a gateway is one whole: its version,
    and the requests that are under way."""
    return {
        "@type": files.type_url("envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": STAT_PREFIX,
        "rds": {
            "route_config_name": ROUTE_CONFIGURATION,
            "config_source": files.watched(directory, files.ROUTES_FILE),
        },
        "use_remote_address": True,
        "internal_address_config": {"cidr_ranges": [NOBODY]},
        "generate_request_id": True,
        "preserve_external_request_id": True,
        "normalize_path": True,
        "merge_slashes": False,
        "common_http_protocol_options": {"idle_timeout": "300s", **header_rules()},
        "http_protocol_options": {"accept_http_10": True, "default_host_for_http_10": UNNAMED_HOST},
        "http2_protocol_options": {
            "max_concurrent_streams": STREAMS,
            "initial_stream_window_size": STREAM_BYTES,
            "initial_connection_window_size": CONNECTION_BYTES,
        },
        # A path reaches its process as it was written: the gateway does not decide what %2F means there.
        "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
        "max_request_headers_kb": MOST_KIB,
        "request_headers_timeout": HEADERS_TIMEOUT,
        "request_timeout": f"{max(LEAST_REQUEST_SECONDS, largest_body // SLOWEST_BYTES_PER_SECOND)}s",
        "stream_idle_timeout": "60s",
        "server_header_transformation": "PASS_THROUGH",
        "local_reply_config": local_replies(),
    }


def _tell_the_client(
    limits: Sequence[Limit], headers: Mapping[str, str], *, tell_sides: bool = False
) -> dict[str, Any]:
    """Tells a process who the client is, see the note "the client's address", and a client how often it may ask, with
    the ``headers`` that protect it, and with ``tell_sides`` also who has answered.

    It also removes what a bounce would add, and what servers tell of themselves.
    """
    written = {
        "header": {"key": "x-forwarded-for", "value": f"%REQ({CLIENT_HEADER})%"},
        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
    }
    told = side_mutations() if tell_sides else []
    return {
        "name": "envoy.filters.http.header_mutation",
        "typed_config": {
            "@type": files.type_url("envoy.extensions.filters.http.header_mutation.v3.HeaderMutation"),
            "mutations": {
                "request_mutations": [{"append": written}, {"remove": ORIGINAL_URL}],
                "response_mutations": [*answer_mutations(limits), *TELLING, *protecting_mutations(headers), *told],
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


def _reached(host: str, port: int) -> str:
    """Where a listener can be reached from its own machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  compared, and not listened at
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _address(host: str, port: int) -> dict[str, object]:
    return {"socket_address": {"address": host, "port_value": port}}
