"""What Envoy starts with: a listener, an admin port, and the files it follows.

Note "the client's address": Envoy finds it, by the connection or by what trusted proxies have appended to
X-Forwarded-For, and says it in x-envoy-external-address, whatever came under that name. Processes get it as the one
address in X-Forwarded-For. So they need not know how many proxies there are, and what a client has made up is gone. The
header is used, and not what Envoy remembers of the request, for that is lost in a bounce: it begins anew with the
connection's address.
"""

from __future__ import annotations

from pathlib import Path

from strangler.adapters.envoy import files
from strangler.domain.routing import SIDE_HEADER

BOOTSTRAP_FILE = "bootstrap.json"
ROUTE_CONFIGURATION = "routes"
STAT_PREFIX = "gateway"
# What fits here is bounced inside the gateway; larger bodies the old owner forwards itself.
BUFFER_BYTES = 1 << 20

CLIENT_HEADER = "x-envoy-external-address"
# What a proxy says of the way a request has come, besides what Envoy itself replaces.
HEARSAY = ("x-forwarded-host", "x-forwarded-port")
# Whose requests Envoy takes for its own people's: they may ask it for more, and it does not say who they are. Without
# a range it would take those of private addresses.
NOBODY = {"address_prefix": "255.255.255.255", "prefix_len": 32}

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
    "client": f"%REQ({CLIENT_HEADER})%",
    "peer": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%",
}


def write_bootstrap(
    directory: Path,
    *,
    port: int,
    admin_port: int,
    access_log: Path | None,
    host: str = "127.0.0.1",
    admin_host: str = "127.0.0.1",
    trusted_hops: int = 0,
) -> None:
    """Without an ``access_log`` requests are told on standard output.

    Of ``trusted_hops`` proxies in front it is believed who the client is, and how and by which name he came.

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
                    "filter_chains": [{"filters": [_connection_manager(directory, access_log, trusted_hops)]}],
                }
            ]
        },
    }
    files.replace(directory, BOOTSTRAP_FILE, document)


def _connection_manager(directory: Path, access_log: Path | None, trusted_hops: int) -> dict[str, object]:
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
            "early_header_mutation_extensions": [_strip_headers(trusted_hops)],
            "common_http_protocol_options": {"idle_timeout": "300s"},
            "request_headers_timeout": "10s",
            "stream_idle_timeout": "60s",
            "http_filters": [
                _tell_the_client(),
                {
                    "name": "envoy.filters.http.router",
                    "typed_config": {"@type": files.type_url("envoy.extensions.filters.http.router.v3.Router")},
                },
            ],
            "access_log": [_access_log(access_log)],
        },
    }


def _strip_headers(trusted_hops: int) -> dict[str, object]:
    """Nobody outside says which side answers; nor, unless he is trusted, by which name he came."""
    names = (SIDE_HEADER,) if trusted_hops else (SIDE_HEADER, *HEARSAY)
    return {
        "name": "envoy.http.early_header_mutation.header_mutation",
        "typed_config": {
            "@type": files.type_url("envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation"),
            "mutations": [{"remove": name} for name in names],
        },
    }


def _tell_the_client() -> dict[str, object]:
    """See the note "the client's address"."""
    written = {
        "header": {"key": "x-forwarded-for", "value": f"%REQ({CLIENT_HEADER})%"},
        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
    }
    return {
        "name": "envoy.filters.http.header_mutation",
        "typed_config": {
            "@type": files.type_url("envoy.extensions.filters.http.header_mutation.v3.HeaderMutation"),
            "mutations": {"request_mutations": [{"append": written}]},
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
