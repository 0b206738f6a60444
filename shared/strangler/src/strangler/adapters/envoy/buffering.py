"""The filter that keeps a body until it is whole, and its settings per route."""

from __future__ import annotations

from typing import Any

from strangler.adapters.envoy import files

NAME = "envoy.filters.http.buffer"
_EXTENSION = "envoy.extensions.filters.http.buffer.v3"


def buffer_filter(*, max_request_bytes: int) -> dict[str, Any]:
    """The filter, with the limit for requests that match no route: each route has a setting of its own."""
    limit = {"@type": files.type_url(f"{_EXTENSION}.Buffer"), "max_request_bytes": max_request_bytes}
    return {"name": NAME, "typed_config": limit}


def buffered(*, max_request_bytes: int) -> dict[str, Any]:
    """For a route: bodies are kept until they are whole, and may have at most so many bytes."""
    return _of_route({"buffer": {"max_request_bytes": max_request_bytes}})


def _of_route(setting: dict[str, Any]) -> dict[str, Any]:
    per_route = {"@type": files.type_url(f"{_EXTENSION}.BufferPerRoute"), **setting}
    return {NAME: per_route}


# For a route: bodies are passed on as they come, or there is none at all.
UNBUFFERED = _of_route({"disabled": True})
