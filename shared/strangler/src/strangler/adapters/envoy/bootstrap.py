"""What Envoy starts with: a listener, an admin port, and the files it follows."""

from __future__ import annotations

from pathlib import Path

from strangler.adapters.envoy import files
from strangler.domain.routing import SIDE_HEADER

BOOTSTRAP_FILE = "bootstrap.json"
ROUTE_CONFIGURATION = "routes"
STAT_PREFIX = "gateway"
# What fits here is bounced inside the gateway; larger bodies the old owner forwards itself.
BUFFER_BYTES = 1 << 20

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})

_ACCESS_LOG = {
    "time": "%START_TIME%",
    "method": "%REQ(:METHOD)%",
    "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
    "status": "%RESPONSE_CODE%",
    "flags": "%RESPONSE_FLAGS%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "milliseconds": "%DURATION%",
    "bytes_received": "%BYTES_RECEIVED%",
    "bytes_sent": "%BYTES_SENT%",
    "cluster": "%UPSTREAM_CLUSTER%",
    "route": "%ROUTE_NAME%",
    "side": "%REQ(X-STRANGLER-TO)%",
    "request_id": "%REQ(X-REQUEST-ID)%",
    "client": "%DOWNSTREAM_REMOTE_ADDRESS%",
}


def write_bootstrap(
    directory: Path,
    *,
    port: int,
    admin_port: int,
    access_log: Path | None,
    host: str = "127.0.0.1",
    admin_host: str = "127.0.0.1",
) -> None:
    """Without an ``access_log`` requests are told on standard output.

    An admin port that others can reach shows statistics and nothing else: it could else be used to end the gateway.
    """
    admin: dict[str, object] = {"address": _address(admin_host, admin_port)}
    if admin_host not in LOOPBACK:
        admin["allow_paths"] = [{"exact": "/ready"}, {"prefix": "/stats"}]
    document = {
        "node": {"id": "gateway", "cluster": "gateway"},
        "admin": admin,
        "dynamic_resources": {"cds_config": files.watched(directory, files.CLUSTERS_FILE)},
        "static_resources": {
            "listeners": [
                {
                    "name": "gateway",
                    "address": _address(host, port),
                    "per_connection_buffer_limit_bytes": BUFFER_BYTES,
                    "filter_chains": [{"filters": [_connection_manager(directory, access_log)]}],
                }
            ]
        },
    }
    files.replace(directory, BOOTSTRAP_FILE, document)


def _connection_manager(directory: Path, access_log: Path | None) -> dict[str, object]:
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
            "generate_request_id": True,
            "preserve_external_request_id": True,
            "normalize_path": True,
            "merge_slashes": False,
            "early_header_mutation_extensions": [_strip_side_header()],
            "common_http_protocol_options": {"idle_timeout": "300s"},
            "request_headers_timeout": "10s",
            "stream_idle_timeout": "60s",
            "http_filters": [
                {
                    "name": "envoy.filters.http.router",
                    "typed_config": {"@type": files.type_url("envoy.extensions.filters.http.router.v3.Router")},
                }
            ],
            "access_log": [_access_log(access_log)],
        },
    }


def _strip_side_header() -> dict[str, object]:
    """Nobody outside says which side answers."""
    return {
        "name": "envoy.http.early_header_mutation.header_mutation",
        "typed_config": {
            "@type": files.type_url("envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation"),
            "mutations": [{"remove": SIDE_HEADER}],
        },
    }


def _access_log(path: Path | None) -> dict[str, object]:
    if path is None:
        # Not the file /dev/stdout: in a container its user may not be the one that may open it.
        stdout = files.type_url("envoy.extensions.access_loggers.stream.v3.StdoutAccessLog")
        return {
            "name": "envoy.access_loggers.stdout",
            "typed_config": {"@type": stdout, "log_format": {"json_format": _ACCESS_LOG}},
        }
    return {
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": files.type_url("envoy.extensions.access_loggers.file.v3.FileAccessLog"),
            "path": str(path),
            "log_format": {"json_format": _ACCESS_LOG},
        },
    }


def _address(host: str, port: int) -> dict[str, object]:
    return {"socket_address": {"address": host, "port_value": port}}
