"""Which requests need a token, and how Envoy verifies it: signature, issuer, audience and time.

Note "asked here": the keys of an issuer whose ``jwks`` is a path are asked for through this gateway's own listener, so
they come from the side that owns them at that moment, and a move changes nothing. Envoy asks again five seconds before
they come to their age, and then every second; it uses the old ones until it has new ones.

Note "verified twice": services verify each token again, for what a token allows is theirs to decide, and others than
the gateway may reach them. The gateway keeps out what nobody has signed, before it costs a process anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from strangler.adapters.envoy import files
from strangler.domain.project import Issuer

FILTER = "envoy.filters.http.jwt_authn"
_EXTENSION = "envoy.extensions.filters.http.jwt_authn.v3"
REQUIRED = "required"
CLAIMS = "claims"  # under which the filter's metadata has what the token says
AGAIN_SECONDS = 1
FETCH_TIMEOUT = "2s"
CONNECT_TIMEOUT = "1s"
SKEW_SECONDS = 5  # as in the processes
# A process of a project cannot have such a name.
_CLUSTER = "tokens/{}".format

Document = dict[str, Any]


def token_filter(issuers: Sequence[Issuer], own: str) -> list[Document]:
    """The filter, if there are issuers; ``own`` is the host and port at which the listener can be reached from here."""
    if not issuers:
        return []
    any_of = [{"provider_name": issuer.name} for issuer in issuers]
    settings = {
        "@type": files.type_url(f"{_EXTENSION}.JwtAuthentication"),
        "providers": {issuer.name: _provider(issuer, own) for issuer in issuers},
        "requirement_map": {REQUIRED: any_of[0] if len(any_of) == 1 else {"requires_any": {"requirements": any_of}}},
    }
    return [{"name": FILTER, "typed_config": settings}]


def key_clusters(issuers: Sequence[Issuer], own: str) -> list[Document]:
    """Where the keys of each issuer are."""
    return [_cluster(issuer, own) for issuer in issuers]


def required() -> Mapping[str, Document]:
    """For a route: its requests need a token."""
    return {FILTER: {"@type": files.type_url(f"{_EXTENSION}.PerRouteConfig"), "requirement_name": REQUIRED}}


def _provider(issuer: Issuer, own: str) -> Document:
    expected: Document = {"issuer": issuer.issuer} if issuer.issuer else {}
    return {
        **expected,
        "audiences": list(issuer.audiences),
        "forward": True,
        "clock_skew_seconds": SKEW_SECONDS,
        "payload_in_metadata": CLAIMS,
        "from_headers": [{"name": "Authorization", "value_prefix": f"{word} "} for word in _in_any_case("bearer")],
        "remote_jwks": {
            "http_uri": {"uri": _url(issuer, own), "cluster": _CLUSTER(issuer.name), "timeout": FETCH_TIMEOUT},
            "cache_duration": f"{issuer.jwks_age}s",
            # The listener must not wait for keys that come through it.
            "async_fetch": {"fast_listener": True, "failed_refetch_duration": f"{AGAIN_SECONDS}s"},
        },
    }


def _in_any_case(word: str) -> list[str]:
    """All spellings: Envoy compares letter by letter, and the name of a scheme is the same in any case (RFC 9110)."""
    found = [""]
    for letter in word:
        found = [begun + each for begun in found for each in (letter.upper(), letter)]
    return found


def _url(issuer: Issuer, own: str) -> str:
    return f"http://{own}{issuer.jwks}" if issuer.is_here else issuer.jwks


def _cluster(issuer: Issuer, own: str) -> Document:
    parts = urlsplit(_url(issuer, own))
    tls = parts.scheme == "https"
    endpoint = {
        "address": {"socket_address": {"address": parts.hostname, "port_value": parts.port or (443 if tls else 80)}}
    }
    name = _CLUSTER(issuer.name)
    document: Document = {
        "name": name,
        "type": "STRICT_DNS",
        "dns_lookup_family": "V4_PREFERRED",
        "wait_for_warm_on_init": False,
        "connect_timeout": CONNECT_TIMEOUT,
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": endpoint}]}]},
    }
    if tls:
        document["transport_socket"] = _tls(str(parts.hostname), issuer.ca)
    return document


def _tls(host: str, ca: str) -> Document:
    """The certificate has to be of an authority in the file ``ca``, for this host."""
    names = [{"san_type": "DNS", "matcher": {"exact": host}}]
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": files.type_url("envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"),
            "sni": host,
            "common_tls_context": {
                "validation_context": {"trusted_ca": {"filename": ca}, "match_typed_subject_alt_names": names}
            },
        },
    }
