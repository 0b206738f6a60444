"""How the gateway shares the reads of a capability between its owner and the copy.

Note "sticky": a client's reads stay at one side. The gateway gives each new client a cookie with the id of the
first request, and takes a hash of that id for this and all later requests. If the project names a header, its value
decides where it is there. The copy has the first numbers of the hash: at a greater weight it keeps all clients that
it had.

Note "a read may be sent again": it does nothing. So a read that goes to the copy and gets no answer, because the
process was killed or stands still, is sent to the owner, which comes second in the copy's cluster.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from strangler.adapters.envoy import files
from strangler.adapters.envoy.clusters import reads_of
from strangler.domain.project import MONOLITH, SERVICE, Sharing
from strangler.domain.routing import KEPT_COOKIE, READS_HEADER, ROUTE_HEADER, CapabilityRoutes

RETRIES = {"num_retries": 8, "retry_back_off": {"base_interval": "0.05s", "max_interval": "0.5s"}}
KEPT_SECONDS = 30 * 24 * 3600
# Of a request's whole time, the part after which a read that is still without an answer is sent again.
PATIENCE = 3
ID_HEADER = "x-request-id"
# Without what would mean something in a cookie.
_PLAIN_ID = "[A-Za-z0-9._-]{8,64}"
_KEPT = f"(?:.*; *)?{KEPT_COOKIE}={_PLAIN_ID}(?:;.*)?"

Document = dict[str, Any]


def shared_targets(
    capability: CapabilityRoutes, sharing: Sharing, seconds: float
) -> Iterator[tuple[str, list[Document], Document, Document]]:
    """For one of its routes with so many ``seconds`` for an answer, one after another: the name's second half, the
    headers that a request has, the target, and what else the route has."""
    again = {"retry_policy": _again(seconds)}
    if sharing.testers:
        chosen = {"cluster": reads_of(capability.clusters[SERVICE])}
        yield "chosen-service", [_exactly(ROUTE_HEADER, SERVICE)], {**chosen, **again}, _added(capability)
        yield "chosen-monolith", [_exactly(ROUTE_HEADER, MONOLITH)], {"cluster": capability.clusters[MONOLITH]}, {}
    if sharing.header:
        by_header = _target(capability, {"header": {"header_name": sharing.header}})
        yield "reads", [{"name": sharing.header, "present_match": True}], {**by_header, **again}, {}
    by_cookie = _target(capability, {"cookie": {"name": KEPT_COOKIE}})
    yield "reads", [_like("cookie", _KEPT)], {**by_cookie, **again}, {}
    by_id = _target(capability, {"header": {"header_name": ID_HEADER}})
    yield "reads", [_like(ID_HEADER, _PLAIN_ID)], {**by_id, **again}, _kept()
    yield "reads", [], {"cluster": capability.clusters[MONOLITH]}, {}


def _target(capability: CapabilityRoutes, policy: Document) -> Document:
    clusters = {SERVICE: reads_of(capability.clusters[SERVICE]), MONOLITH: capability.clusters[MONOLITH]}
    shares: list[Document] = [
        {"name": clusters[side], "weight": capability.reads[side], **(_added(capability) if side == SERVICE else {})}
        for side in (SERVICE, MONOLITH)
        if capability.reads.get(side)
    ]
    return {"weighted_clusters": {"clusters": shares, "use_hash_policy": True}, "hash_policy": [policy]}


def _added(capability: CapabilityRoutes) -> Document:
    """By this the copy knows that it may answer."""
    header = {"header": {"key": READS_HEADER, "value": capability.capability}}
    return {"request_headers_to_add": [{**header, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}]}


def _kept() -> Document:
    cookie = f"{KEPT_COOKIE}=%REQ({ID_HEADER})%; Path=/; Max-Age={KEPT_SECONDS}; HttpOnly; SameSite=Lax"
    return {
        "response_headers_to_add": [
            {"header": {"key": "set-cookie", "value": cookie}, "append_action": "APPEND_IF_EXISTS_OR_ADD"}
        ]
    }


def _again(seconds: float) -> Document:
    """See the note "a read may be sent again"."""
    priorities = "envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig"
    return {
        "retry_on": "connect-failure,refused-stream,reset",
        **RETRIES,
        "retry_priority": {
            "name": "envoy.retry_priorities.previous_priorities",
            "typed_config": {"@type": files.type_url(priorities), "update_frequency": 1},
        },
        **({"per_try_timeout": f"{seconds / PATIENCE:g}s"} if seconds else {}),
    }


def _exactly(header: str, value: str) -> Document:
    return {"name": header, "string_match": {"exact": value}}


def _like(header: str, pattern: str) -> Document:
    return {"name": header, "string_match": {"safe_regex": {"regex": pattern}}}
