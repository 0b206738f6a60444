"""Which headers of a client pass.

Note "hearsay": what says how a request has come is believed of trusted proxies and of nobody else, for gunicorn, Django
and Envoy derive scheme, name, address and path from it. What says something between gateway and processes is the
gateway's alone, whoever stands in front. And where a name has an underscore, WSGI cannot tell it from a minus.
"""

from __future__ import annotations

from typing import Any

from strangler.adapters.envoy import files

# Between gateway and processes, and between Envoys.
OURS = ("x-strangler-", "x-envoy-")
# What proxies say of the way a request has come; Envoy then writes x-forwarded-for and -proto itself.
HEARSAY = (
    "forwarded",
    "front-end-https",
    "true-client-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-host",
    "x-original-host",
    "x-original-uri",
    "x-original-url",
    "x-real-ip",
    "x-rewrite-url",
    "x-script-name",
    "x-url-scheme",
)
HEARSAY_PREFIX = "x-forwarded-"

Document = dict[str, Any]


def header_rules() -> Document:
    """What holds for all headers; see the note "hearsay"."""
    return {"headers_with_underscores_action": "DROP_HEADER"}


def strip_headers(trusted_hops: int) -> Document:
    """Removes what nobody outside may say; see the note "hearsay"."""
    prefixes, names = (OURS, ()) if trusted_hops else ((*OURS, HEARSAY_PREFIX), HEARSAY)
    removed: list[Document] = [{"remove_on_match": {"key_matcher": {"prefix": prefix}}} for prefix in prefixes]
    return {
        "name": "envoy.http.early_header_mutation.header_mutation",
        "typed_config": {
            "@type": files.type_url("envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation"),
            "mutations": [*removed, *({"remove": name} for name in names)],
        },
    }
