"""Which headers of a client may pass, and how many.

Note "hearsay": headers that say how a request has come are believed only from trusted proxies, for gunicorn, Django and
Envoy derive scheme, name, address and path from them. Only the gateway may send the headers between gateway and
processes, whatever proxies are in front of it. And WSGI cannot tell an underscore in a name from a minus.

Note "room": on its way a request gets about ten more headers, several of them in a bounce. The servers behind the
gateway usually accept 100. So the gateway accepts so few headers, and such small ones, that these servers refuse no
request that the gateway has let in.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from strangler.adapters.envoy import files
from strangler.adapters.envoy.accesslog import LOGGED
from strangler.domain.routing import POSITION_HEADER, ROUTE_HEADER

# Between gateway and processes, and between Envoys.
OURS = ("x-strangler-", "x-envoy-")
# A client may send these: they choose a side or name a position, and a process believes neither.
ALLOWED = (POSITION_HEADER, ROUTE_HEADER)
# Headers in which proxies say how a request has come; Envoy then writes x-forwarded-for and -proto itself.
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
# Here Envoy writes who the client is.
CLIENT_HEADER = "x-envoy-external-address"
# In a bounce Envoy adds the whole address as a header, which no server would accept if it is long.
ORIGINAL_URL = "x-envoy-original-url"
# Where a client is told who has answered, as ``capability/side``.
SIDE_ANSWERED_HEADER = "x-strangler-side"

Document = dict[str, Any]


def header_rules() -> Document:
    """The rules for all headers; see the notes."""
    return {"max_headers_count": MOST_HEADERS, "headers_with_underscores_action": "DROP_HEADER"}


def strip_headers(trusted_hops: int, *more: Document) -> Document:
    """Removes headers that nobody outside may send, see the note "hearsay"; then does ``more``."""
    prefixes, names = (OURS, ()) if trusted_hops else ((*OURS, HEARSAY_PREFIX), HEARSAY)
    removed: list[Document] = [{"remove_on_match": {"key_matcher": _beginning(prefix)}} for prefix in prefixes]
    return {
        "name": "envoy.http.early_header_mutation.header_mutation",
        "typed_config": {
            "@type": files.type_url("envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation"),
            "mutations": [*removed, *({"remove": name} for name in names), *more],
        },
    }


def side_mutations() -> list[Document]:
    """For the answer to each request that a capability claims: which side of it has answered, after all bounces."""
    value = f"%METADATA(ROUTE:{LOGGED}:capability)%/%METADATA(CLUSTER:{LOGGED}:side)%"
    written = {"header": {"key": SIDE_ANSWERED_HEADER, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
    return [{"append": written}]


def _beginning(prefix: str) -> Document:
    """Matches the names with this beginning, but for those that are allowed."""
    allowed = [name.removeprefix(prefix) for name in ALLOWED if name.startswith(prefix)]
    return {"safe_regex": {"regex": re.escape(prefix) + all_but(allowed)}} if allowed else {"prefix": prefix}


def all_but(words: Sequence[str]) -> str:
    """A regular expression that matches all texts but these, for RE2, which cannot look ahead."""
    if not words:
        return ".*"
    by_letter: dict[str, list[str]] = {}
    for word in words:
        if word:
            by_letter.setdefault(word[0], []).append(word[1:])
    ways = [re.escape(letter) + all_but(rest) for letter, rest in sorted(by_letter.items())]
    if by_letter:
        ways.append(f"[^{''.join(re.escape(letter) for letter in sorted(by_letter))}].*")
    else:
        ways.append(".+")
    if "" not in words:
        ways.append("")
    return f"(?:{'|'.join(ways)})"
