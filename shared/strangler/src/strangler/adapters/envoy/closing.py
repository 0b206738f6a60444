"""The routes for paths that nobody reaches through the gateway, or nobody from outside."""

from __future__ import annotations

from typing import Any

from strangler.adapters.envoy.buffering import UNBUFFERED
from strangler.domain.closed import spellings
from strangler.domain.routing import INTERNAL_HEADER

_FROM_OUTSIDE = {"name": INTERNAL_HEADER, "present_match": True, "invert_match": True}


def closed_route(path: str) -> dict[str, Any]:
    """Answers the path, and all paths below it, with 404."""
    return _nowhere({"safe_regex": {"regex": spellings(path)}})


def internal_route(path: str) -> dict[str, Any]:
    """The same for requests from outside."""
    return _nowhere({"safe_regex": {"regex": spellings(path)}, "headers": [_FROM_OUTSIDE]})


def _nowhere(match: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": "closed",
        "match": match,
        "direct_response": {"status": 404},
        "typed_per_filter_config": UNBUFFERED,
    }
