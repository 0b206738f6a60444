"""The filter that refuses what no process could read, before anything is counted, verified or kept.

Note "two protocols": Envoy reads a method and an address of HTTP/1 strictly, and lets almost any text pass for them in
HTTP/2. A process gets both by HTTP/1. So what HTTP/1 does not take is refused in both, with 400. Only the bytes of a
path that are not ASCII have been written out by then (%E9).

Note "tunnels": CONNECT has no path, so it matches no route, and has no end for which one could wait. TRACE would give a
client's request back with what the gateway has added.
"""

from __future__ import annotations

from typing import Any

from strangler.adapters.envoy import files

# As Envoy takes them by HTTP/1: those of HTTP itself, of WebDAV and of its relatives.
METHODS = (
    *("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"),
    *("ACL", "BIND", "COPY", "LINK", "LOCK", "MERGE", "MKACTIVITY", "MKCALENDAR", "MKCOL", "MOVE"),
    *("NOTIFY", "PROPFIND", "PROPPATCH", "PURGE", "REBIND", "REPORT", "SEARCH", "SOURCE", "SUBSCRIBE"),
    *("UNBIND", "UNLINK", "UNLOCK", "UNSUBSCRIBE"),
)
REFUSED = ("CONNECT", "TRACE")
_PATH = "[!-~]+"
# How Envoy says which policy a request has met; `answers` makes a 400 of it.
UNREADABLE = "rbac_access_denied_matched_policy[unreadable]"

Document = dict[str, Any]


def reading_filter() -> Document:
    """See the notes. The policies are looked at in the order of their names."""
    known = _either(_of("method", "|".join(METHODS)), _of("method", "|".join(REFUSED)))
    readable = _either(_of("path", _PATH), _of("method", REFUSED[0]))
    policies = {
        "refused": _policy(_of("method", "|".join(REFUSED))),
        "unreadable": _policy(_either({"not_rule": known}, {"not_rule": readable})),
    }
    return {
        "name": "envoy.filters.http.rbac.reading",
        "typed_config": {
            "@type": files.type_url("envoy.extensions.filters.http.rbac.v3.RBAC"),
            "rules": {"action": "DENY", "policies": policies},
        },
    }


def _policy(permission: Document) -> Document:
    return {"permissions": [permission], "principals": [{"any": True}]}


def _either(*rules: Document) -> Document:
    return {"or_rules": {"rules": list(rules)}}


def _of(name: str, pattern: str) -> Document:
    """The whole of the method or path fits; a path that is not there fits nothing."""
    return {"header": {"name": f":{name}", "string_match": {"safe_regex": {"regex": pattern}}}}
