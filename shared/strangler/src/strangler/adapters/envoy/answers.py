"""Answers that the gateway gives itself, in the shape of all other errors: JSON with ``detail``.

Note "come again": an answer says when to try again only if the request has not been delivered. If a request was lost on
its way, or took too long, nobody knows what it has done.
"""

from __future__ import annotations

from typing import Any

DETAILS = {
    400: "The request cannot be read.",
    403: "This is not done here.",
    404: "Not found.",
    408: "The request came too slowly.",
    413: "The body is larger than what is taken here.",
    431: "The headers are too many, or too large.",
    501: "The body comes in a way that is not known here.",
    502: "The answer cannot be read.",
    503: "Nobody answers; whether something was done is not known.",
    504: "No answer came in time; whether something was done is not known.",
}
# Envoy's names for: no connection, no healthy host, too many requests, too little memory.
UNDELIVERED = ("UF", "UH", "UO", "OM")
LATER = "Nobody is there to answer, and nothing was done; try again."

Document = dict[str, Any]


def local_replies() -> Document:
    """``local_reply_config`` of the connection manager."""
    undelivered = {"and_filter": {"filters": [_of_status(503), {"response_flag_filter": {"flags": UNDELIVERED}}]}}
    retry_after = {"header": {"key": "retry-after", "value": "1"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
    later = {"filter": undelivered, "headers_to_add": [retry_after], "body_format_override": _saying(LATER)}
    mappers = [{"filter": _of_status(code), "body_format_override": _saying(text)} for code, text in DETAILS.items()]
    return {"mappers": [later, *mappers], "body_format": _saying("%LOCAL_REPLY_BODY%")}


def _of_status(code: int) -> Document:
    compared = {"op": "EQ", "value": {"default_value": code, "runtime_key": "answers.none"}}
    return {"status_code_filter": {"comparison": compared}}


def _saying(detail: str) -> Document:
    return {"json_format": {"detail": detail}, "content_type": "application/json"}
