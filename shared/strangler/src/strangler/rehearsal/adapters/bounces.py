"""How many requests the gateway has sent on to the other side, from Envoy's own counters."""

from __future__ import annotations

import json

import urllib3

from strangler.domain.errors import StackError
from strangler.rehearsal.ports import Bounces

COUNTER = "upstream_internal_redirect_succeeded_total"


class EnvoyBounces(Bounces):
    """Asks Envoy's admin interface at ``admin``; if that is empty nobody can reach it, and the count is not known."""

    def __init__(self, admin: str) -> None:
        self._url = f"{admin.rstrip('/')}/stats?format=json&filter={COUNTER}" if admin else ""
        self._pool = urllib3.PoolManager(timeout=urllib3.Timeout(5))

    def count(self) -> int | None:
        """The sum over its clusters."""
        if not self._url:
            return None
        try:
            answer = self._pool.request("GET", self._url)
            stats = json.loads(answer.data)["stats"]
        except (urllib3.exceptions.HTTPError, ValueError, KeyError) as error:
            raise StackError(
                f"the gateway's counters cannot be read: {error!r}",
                place=self._url,
                remedy="check that the gateway runs: `strangler status`",
            ) from error
        return sum(int(stat.get("value", 0)) for stat in stats)
