"""The filter that keeps a body until it is whole, and what a route says to it."""

from __future__ import annotations

from typing import Any

from strangler.adapters.envoy import files
from strangler.domain.project import MAX_BODY

NAME = "envoy.filters.http.buffer"
_EXTENSION = "envoy.extensions.filters.http.buffer.v3"


def buffer_filter() -> dict[str, Any]:
    """With what holds where a route says nothing."""
    limit = {"@type": files.type_url(f"{_EXTENSION}.Buffer"), "max_request_bytes": MAX_BODY}
    return {"name": NAME, "typed_config": limit}


def buffered(*, max_request_bytes: int) -> dict[str, Any]:
    """Of a route: whole bodies, of so many bytes at most."""
    return _of_route({"buffer": {"max_request_bytes": max_request_bytes}})


def _of_route(setting: dict[str, Any]) -> dict[str, Any]:
    per_route = {"@type": files.type_url(f"{_EXTENSION}.BufferPerRoute"), **setting}
    return {"typed_per_filter_config": {NAME: per_route}}


# Of a route: bodies as they come, or none at all.
UNBUFFERED = _of_route({"disabled": True})
