"""The routes for paths that nobody reaches through the gateway."""

from __future__ import annotations

from typing import Any

from strangler.adapters.envoy.buffering import UNBUFFERED
from strangler.domain.closed import spellings


def closed_route(path: str) -> dict[str, Any]:
    """Answers the path, and all paths below it, with 404."""
    return {
        "name": "closed",
        "match": {"safe_regex": {"regex": spellings(path)}},
        "direct_response": {"status": 404},
        "typed_per_filter_config": UNBUFFERED,
    }
