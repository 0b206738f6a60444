"""Answers that the gateway gives itself, in the shape of all other errors: JSON with ``detail``.

Note "tokens": what Envoy says of a token becomes 401, or 503 where nobody could say whose keys are good: a client whose
token is good must not be logged out because of that.

Note "come again": an answer says when to try again only if the request has not been delivered. If a request was lost on
its way, or took too long, nobody knows what it has done.
"""

from __future__ import annotations

from typing import Any

from strangler.adapters.envoy import files
from strangler.adapters.envoy.protecting import own_headers
from strangler.adapters.envoy.reading import UNREADABLE

DETAILS = {
    200: "The gateway answers.",  # to who asks how it is
    400: "The request cannot be read.",
    403: "This is not done here.",
    404: "Not found.",
    408: "The request came too slowly.",
    413: "The body is larger than what is taken here.",
    429: "This was asked too often; try again later.",
    431: "The headers are too many, or too large.",
    501: "The body comes in a way that is not known here.",
    502: "The answer cannot be read.",
    503: "Nobody answers; whether something was done is not known.",
    504: "No answer came in time; whether something was done is not known.",
}
# Envoy's names for: no connection, no healthy host, too many requests, too little memory.
UNDELIVERED = ("UF", "UH", "UO", "OM")
# How Envoy says that it answers nobody's health check with 200 any more.
LEAVING = "health_check_failed"
LEFT = "This gateway sends its clients to another one."
LATER = "Nobody is there to answer, and nothing was done; try again."
# How the details of Envoy's answer begin, and go on: a status, and what is told. The first that fits counts.
_DENIED = "jwt_authn_access_denied"
TOKENS = {
    "{Jwks_remote_fetch": (503, "Whether the token is genuine cannot be told now; try again."),
    "{Jwt_is_missing": (401, "Authentication credentials were not provided."),
    "{Jwt_is_expired": (401, "Token has expired."),
    "{Jwks_doesn": (401, "Token is signed with an unknown key."),
    "": (401, "Token is invalid."),
}
REALM = 'Bearer realm="api"'

Document = dict[str, Any]


def local_replies() -> Document:
    """``local_reply_config`` of the connection manager."""
    undelivered = {"and_filter": {"filters": [_of_status(503), {"response_flag_filter": {"flags": UNDELIVERED}}]}}
    retry_after = {"header": {"key": "retry-after", "value": "1"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
    later = {"filter": undelivered, "headers_to_add": [retry_after], "body_format_override": _saying(LATER)}
    tokens = [_of_token(details, status, text, retry_after) for details, (status, text) in TOKENS.items()]
    mappers = [{"filter": _of_status(code), "body_format_override": _saying(text)} for code, text in DETAILS.items()]
    leaving = _mapped(LEAVING, LEFT)
    unreadable = {**_mapped(UNREADABLE, DETAILS[400]), "status_code": 400}
    others = {"filter": _of_status(100, "GE"), "body_format_override": _saying("%LOCAL_REPLY_BODY%")}
    found: list[Document] = [leaving, unreadable, later, *tokens, *mappers, others]
    return {
        "mappers": [{**each, "headers_to_add": [*each.get("headers_to_add", []), *own_headers()]} for each in found]
    }


def _of_token(details: str, status: int, text: str, retry_after: Document) -> Document:
    """See the note "tokens"."""
    realm = {"header": {"key": "www-authenticate", "value": REALM}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
    return {
        "filter": _of_details(f"{_DENIED}{details}"),
        "status_code": status,
        "headers_to_add": [realm if status == 401 else retry_after],
        "body_format_override": _saying(text),
    }


def _mapped(details: str, text: str) -> Document:
    return {"filter": _of_details(details), "body_format_override": _saying(text)}


def _of_details(beginning: str) -> Document:
    """Where what Envoy says of its answer begins so."""
    expression = {
        "@type": files.type_url("envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter"),
        "expression": f"response.code_details.startsWith('{beginning}')",
    }
    return {"extension_filter": {"name": "envoy.access_loggers.extension_filters.cel", "typed_config": expression}}


def _of_status(code: int, how: str = "EQ") -> Document:
    compared = {"op": how, "value": {"default_value": code, "runtime_key": "answers.none"}}
    return {"status_code_filter": {"comparison": compared}}


def _saying(detail: str) -> Document:
    return {"json_format": {"detail": detail}, "content_type": "application/json"}
