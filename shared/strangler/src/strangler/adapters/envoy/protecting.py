"""Headers of answers by which browsers protect, and those by which servers tell of themselves.

Note "the application's word": what an application says itself stays, and is never there twice. What it does not say may
be meant: a page without X-Frame-Options can be one that is to be framed. So the gateway adds to an application's
answers only what the project has asked for, the same to both sides of a move. Its own answers are JSON, and nobody is
to take them for anything else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HSTS = "Strict-Transport-Security"
OWN = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"}
# What Envoy and the servers behind it say of themselves.
TELLING = ({"remove": "server"}, {"remove_on_match": {"key_matcher": {"prefix": "x-envoy-"}}})

Document = dict[str, Any]


def protecting_mutations(headers: Mapping[str, str]) -> list[Document]:
    """For each answer that has no such header."""
    return [{"append": _unless_there(name, _value(name, value))} for name, value in headers.items()]


def own_headers() -> list[Document]:
    """For the answers that the gateway gives itself."""
    return [_unless_there(name, value) for name, value in OWN.items()]


def _unless_there(name: str, value: str) -> Document:
    return {"header": {"key": name, "value": value}, "append_action": "ADD_IF_ABSENT"}


def _value(name: str, value: str) -> str:
    """Only where the client came by https is it told to come so again; otherwise its answer would be wrong."""
    if name == HSTS:
        return f"%CEL(request.headers['x-forwarded-proto'] == 'https' ? '{value}' : '')%"
    return value.replace("%", "%%")
