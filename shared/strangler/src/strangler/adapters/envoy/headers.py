"""Which headers of a client pass, and how many.

Note "hearsay": what says how a request has come is believed of trusted proxies and of nobody else, for gunicorn, Django
and Envoy derive scheme, name, address and path from it. What says something between gateway and processes is the
gateway's alone, whoever stands in front. And where a name has an underscore, WSGI cannot tell it from a minus.

Note "room": on its way a request gets some ten further headers, several in a bounce. The gateway takes so few, and so
small ones, that the servers behind it, for which 100 is the usual limit, refuse none that it has let in.
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

MOST_HEADERS = 80
MOST_KIB = 60
# In a bounce Envoy adds the whole address, which no server would take as a header where it is long.
ORIGINAL_URL = "x-envoy-original-url"

Document = dict[str, Any]


def header_rules() -> Document:
    """What holds for all headers; see the notes."""
    return {"max_headers_count": MOST_HEADERS, "headers_with_underscores_action": "DROP_HEADER"}


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
