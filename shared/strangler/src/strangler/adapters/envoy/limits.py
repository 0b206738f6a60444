"""How often a client or an account may ask: Envoy's own rate limits, one bucket for each.

Note "one gateway": each Envoy counts for itself. Two gateways let through up to twice as much, unless a service counts
for both (shared_limits).

Note "once": a bounce goes through the filters again, and must not be counted again; it has the header of the side that
it goes to, which no client can send.

Note "two spellings": a proxy that listens for both versions may write an address of version 4 as one of version 6. All
of these are in one network, so such a client is not told from others by its network.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from strangler.adapters.envoy import files
from strangler.adapters.envoy.headers import CLIENT_HEADER
from strangler.adapters.envoy.shared_limits import key, service_filter
from strangler.adapters.envoy.tokens import CLAIMS
from strangler.adapters.envoy.tokens import FILTER as TOKEN_FILTER
from strangler.domain.limit import ACCOUNT, Limit
from strangler.domain.route import Route
from strangler.domain.routing import SIDE_HEADER

FILTER = "envoy.filters.http.local_ratelimit"
_EXTENSION = "envoy.extensions.filters.http.local_ratelimit.v3"
BUCKETS = 20_000  # per limit; of more clients at a time those that have not asked for the longest begin anew
_ENOUGH = 4_000_000_000
# The addresses of one client: an IPv6 network has more than it could use.
_IPV4_BITS, _IPV6_BITS = 32, 64
_MAPPED = "::ffff:"  # see the note "two spellings"
STATUS = 429
# Envoy's names, and those of the standard.
_LIMIT, _RESET = "x-ratelimit-limit", "x-ratelimit-reset"
_STANDARD = {"ratelimit-limit": _LIMIT, "ratelimit-remaining": "x-ratelimit-remaining", "ratelimit-reset": _RESET}

Document = dict[str, Any]


def limit_filter(limits: Sequence[Limit]) -> list[Document]:
    """The filter, if there are limits, and behind it the one that asks a service; both stand behind the one that
    verifies tokens."""
    if not limits:
        return []
    counted = [{"actions": each} for limit in limits for route in limit.routes for each in _counted(limit, route)]
    everything = {"numerator": 100, "denominator": "HUNDRED"}
    settings = {
        "@type": files.type_url(f"{_EXTENSION}.LocalRateLimit"),
        "stat_prefix": "limits",
        "token_bucket": {"max_tokens": _ENOUGH, "tokens_per_fill": _ENOUGH, "fill_interval": "1s"},
        "always_consume_default_token_bucket": False,
        "filter_enabled": {"default_value": everything},
        "filter_enforced": {"default_value": everything},
        "descriptors": [_bucket(limit) for limit in limits],
        "rate_limits": counted,
        "max_dynamic_descriptors": BUCKETS,
        "enable_x_ratelimit_headers": "DRAFT_VERSION_03",
        "status": {"code": "TooManyRequests"},
    }
    return [{"name": FILTER, "typed_config": settings}, *service_filter(limits, counted)]


def answer_mutations(limits: Sequence[Limit]) -> list[Document]:
    """What is left of the limit that is nearest, in the headers of the standard; and when to come again.

    A request for which no limit counts has Envoy's headers of the bucket that is always full, and is told nothing.
    """
    if not limits:
        return []
    counted = f"'{_LIMIT}' in response.headers && response.headers['{_LIMIT}'] != '{_ENOUGH}'"
    told = [_told(name, f"{counted} ? response.headers['{envoys}'] : ''") for name, envoys in _STANDARD.items()]
    reset = f"response.headers['{_RESET}']"
    later = f"response.code == {STATUS} && {counted} ? ({reset} == '0' ? '1' : {reset}) : ''"
    return [*told, _told("retry-after", later), *({"remove": name} for name in _STANDARD.values())]


def _told(name: str, value: str) -> Document:
    """A header with the value of an expression, unless that is empty."""
    header = {"header": {"key": name, "value": f"%CEL({value})%"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
    return {"append": header}


def _bucket(limit: Limit) -> Document:
    """Each value of the second entry has a bucket of its own."""
    return {
        "entries": [{"key": "limit", "value": limit.name}, {"key": key(limit)}],
        "token_bucket": {
            "max_tokens": limit.requests,
            "tokens_per_fill": limit.requests,
            "fill_interval": f"{limit.seconds}s",
        },
    }


def _counted(limit: Limit, route: Route) -> Iterator[list[Document]]:
    """Of these exactly one holds for a request; see the notes "once" and "two spellings"."""
    path = {"name": ":path", "string_match": {"safe_regex": {"regex": rf"{route.written_pattern}(?:\?.*)?"}}}
    bounced = {"name": SIDE_HEADER, "present_match": True, "invert_match": True}
    methods = [{"name": ":method", "string_match": {"safe_regex": {"regex": "|".join(sorted(route.asked))}}}]
    headers = [path, bounced, *(methods if route.asked else [])]
    for more, who in _who(limit):
        match = {"descriptor_key": "limit", "descriptor_value": limit.name, "headers": [*headers, *more]}
        yield [{"header_value_match": match}, who]


def _who(limit: Limit) -> list[tuple[list[Document], Document]]:
    """Headers that a request has, and by what its client or account is then told from others.

    An account is known only where the gateway has verified a token; without one there is nothing to count.
    """
    if limit.per == ACCOUNT:
        path = [{"key": CLAIMS}, {"key": "sub"}]
        place = {"key": TOKEN_FILTER, "path": path}
        return [([], {"metadata": {"descriptor_key": key(limit), "metadata_key": place, "source": "DYNAMIC"}})]
    mapped = {"name": CLIENT_HEADER, "string_match": {"prefix": _MAPPED}}
    network = {"masked_remote_address": {"v4_prefix_mask_len": _IPV4_BITS, "v6_prefix_mask_len": _IPV6_BITS}}
    whole = {"request_headers": {"header_name": CLIENT_HEADER, "descriptor_key": key(limit)}}
    return [([{**mapped, "invert_match": True}], network), ([mapped], whole)]
