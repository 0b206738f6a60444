"""How the gateway itself is: for a balancer before it, which must not learn how the processes are.

The answer is 200, and 503 from the moment when the gateway has begun to send its clients elsewhere; see
`admin.fail_health`. It has no body, and needs neither routes nor processes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from strangler.adapters.envoy import files


def health_filter(paths: Sequence[str]) -> list[dict[str, Any]]:
    """The filter, if there are such paths. It answers the plain spelling alone; any other goes on to the routes."""
    if not paths:
        return []
    pattern = rf"(?:{'|'.join(map(re.escape, paths))})(?:\?.*)?"
    settings = {
        "@type": files.type_url("envoy.extensions.filters.http.health_check.v3.HealthCheck"),
        "pass_through_mode": False,
        "headers": [{"name": ":path", "string_match": {"safe_regex": {"regex": pattern}}}],
    }
    return [{"name": "envoy.filters.http.health_check", "typed_config": settings}]
