"""Limits that several gateways count together: each asks a rate limit service, with the descriptors of its own buckets.

Note "the service away": a request that gets no word of the service in TIMEOUT goes on. What this gateway counts itself
holds as before, so the limits are never looser than without a service.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from strangler.adapters.envoy import files
from strangler.domain.limit import ACCOUNT, Limit

FILTER = "envoy.filters.http.ratelimit"
# A process of a project cannot have such a name.
CLUSTER = "limits/service"
# What the service's configuration is called by; its Valkey has no other.
DOMAIN = "gateway"
TIMEOUT = "0.05s"
_CONNECT_TIMEOUT = "0.25s"
_PORT = 8081
_UNITS = {1: "second", 60: "minute", 3600: "hour", 24 * 3600: "day"}

Document = dict[str, Any]


def service_filter(limits: Sequence[Limit], counted: Sequence[Document]) -> list[Document]:
    """The filter that asks the service for what is ``counted``, if the limits have one."""
    if not _services(limits):
        return []
    settings = {
        "@type": files.type_url("envoy.extensions.filters.http.ratelimit.v3.RateLimit"),
        "domain": DOMAIN,
        "timeout": TIMEOUT,
        "failure_mode_deny": False,
        "disable_x_envoy_ratelimited_header": True,
        "rate_limits": list(counted),
        "rate_limit_service": {
            "grpc_service": {"envoy_grpc": {"cluster_name": CLUSTER}},
            "transport_api_version": "V3",
        },
    }
    return [{"name": FILTER, "typed_config": settings}]


def service_clusters(limits: Sequence[Limit]) -> list[Document]:
    """Where the service is."""
    return [_cluster(service) for service in _services(limits)]


def service_configuration(limits: Sequence[Limit]) -> Document:
    """What the service reads: the same limits, for the descriptors that the gateways send."""
    return {"domain": DOMAIN, "descriptors": [_descriptor(limit) for limit in limits]}


def key(limit: Limit) -> str:
    """The second entry of a descriptor, whose value tells apart whom the limit counts."""
    return "account" if limit.per == ACCOUNT else "masked_remote_address"


def _descriptor(limit: Limit) -> Mapping[str, Any]:
    rate = {"unit": _UNITS[limit.seconds], "requests_per_unit": limit.requests}
    return {"key": "limit", "value": limit.name, "descriptors": [{"key": key(limit), "rate_limit": rate}]}


def _services(limits: Sequence[Limit]) -> list[str]:
    return sorted({limit.service for limit in limits if limit.service})


def _cluster(service: str) -> Document:
    parts = urlsplit(service)
    place = {"socket_address": {"address": parts.hostname, "port_value": parts.port or _PORT}}
    options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    return {
        "name": CLUSTER,
        "type": "STRICT_DNS",
        "dns_lookup_family": "V4_PREFERRED",
        # Nobody waits for it, see the note "the service away": neither does the gateway's start.
        "wait_for_warm_on_init": False,
        "connect_timeout": _CONNECT_TIMEOUT,
        "load_assignment": {
            "cluster_name": CLUSTER,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": place}}]}],
        },
        "typed_extension_protocol_options": {
            options: {
                "@type": files.type_url(options),
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        },
    }
