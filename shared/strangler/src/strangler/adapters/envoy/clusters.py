"""The clusters: one per process, with the process's name.

Note "ages": behind one address there may be many servers, as behind a Kubernetes Service, and a connection stays with
the server that it got. So a connection is given up at a certain age, after its answer. A server that is taken out, and
goes on for longer than that age, has no connection left when it ends, and a new server gets its share.

Note "a copy may be away": the owner answers all that a copy answers. So the reads that go to a copy have a cluster of
their own, in which the owner comes second: a read that gets no answer from the copy is sent there, and after some
failures all of them at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from strangler.adapters.envoy import files
from strangler.adapters.envoy.accesslog import LOGGED
from strangler.domain.project import MONOLITH, SERVICE

CONNECT_TIMEOUT = "1s"
# Below the keep-alive of the servers behind (75 s): so a POST, which nobody may send again, never takes a connection
# that they are about to close.
UPSTREAM_IDLE_TIMEOUT = "10s"
UPSTREAM_AGE = "10s"  # see the note "ages"
UNLIMITED = 4096


def publish_clusters(directory: Path, addresses: Mapping[str, str], monolith: str = MONOLITH) -> None:
    """Tells Envoy the address of each process: ``http://host:port`` by name. All but the process ``monolith`` are
    services in the gateway's log."""
    sides = {name: MONOLITH if name == monolith else SERVICE for name in addresses}
    clusters = [_cluster(name, [address], sides[name]) for name, address in sorted(addresses.items())]
    if (owner := addresses.get(monolith)) is not None:
        clusters += [
            _cluster(reads_of(name), [address, owner], SERVICE)
            for name, address in sorted(addresses.items())
            if name != monolith
        ]
    files.replace(directory, files.CLUSTERS_FILE, {"resources": clusters})


def reads_of(cluster: str) -> str:
    """The cluster of the reads that a process answers beside the owner; see the note "a copy may be away"."""
    return f"{cluster}/reads"


def _cluster(name: str, addresses: Sequence[str], side: str) -> dict[str, object]:
    """Of several addresses each is there for the case that those before it are away."""
    return {
        "@type": files.type_url("envoy.config.cluster.v3.Cluster"),
        "name": name,
        "metadata": {"filter_metadata": {LOGGED: {"side": side}}},
        "type": "STRICT_DNS",
        "dns_lookup_family": "V4_PREFERRED",
        "connect_timeout": CONNECT_TIMEOUT,
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [
                {"priority": priority, "lb_endpoints": [{"endpoint": _endpoint(address)}]}
                for priority, address in enumerate(addresses)
            ],
        },
        "circuit_breakers": {"thresholds": [_limits()]},
        "outlier_detection": _outlier_detection(),
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": files.type_url("envoy.extensions.upstreams.http.v3.HttpProtocolOptions"),
                "common_http_protocol_options": {
                    "idle_timeout": UPSTREAM_IDLE_TIMEOUT,
                    "max_connection_duration": UPSTREAM_AGE,
                },
                "explicit_http_config": {"http_protocol_options": {}},
            }
        },
    }


def _endpoint(address: str) -> dict[str, object]:
    parts = urlsplit(address)
    return {"address": {"socket_address": {"address": parts.hostname, "port_value": parts.port or 80}}}


def _limits() -> dict[str, object]:
    """Requests that a fence holds pile up for a moment; they must wait, and must not be refused."""
    return {
        "max_connections": UNLIMITED,
        "max_pending_requests": UNLIMITED,
        "max_requests": UNLIMITED,
        "max_retries": UNLIMITED,
    }


def _outlier_detection() -> dict[str, object]:
    """Only connection failures count: an application's own 500 says nothing about its host."""
    return {
        "split_external_local_origin_errors": True,
        "consecutive_local_origin_failure": 5,
        "enforcing_consecutive_5xx": 0,
        "enforcing_success_rate": 0,
        "enforcing_local_origin_success_rate": 0,
        "interval": "1s",
        "base_ejection_time": "5s",
        "max_ejection_percent": 50,
    }
