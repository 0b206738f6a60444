"""What Envoy's admin port tells."""

from __future__ import annotations

from urllib.parse import quote

import urllib3

from strangler.adapters.envoy.bootstrap import ROUTE_CONFIGURATION, STAT_PREFIX
from strangler.domain.errors import StackError

TIMEOUT_SECONDS = 2.0
VERSION_TEXT = rf"http\.{STAT_PREFIX}\.rds\.{ROUTE_CONFIGURATION}\.version_text"
BOUNCE_COUNTER = "upstream_internal_redirect_succeeded_total"

_HTTP = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(total=TIMEOUT_SECONDS))


def live_version(admin_url: str) -> str | None:
    """The version of the route table that Envoy follows now; ``None`` before the first one.

    Read from the statistics: a table that differs in nothing but its version is accepted, yet
    ``/config_dump`` goes on naming the version before it.
    """
    text = _get(admin_url, f"/stats?filter={quote(f'^{VERSION_TEXT}$')}")
    return text.partition(":")[2].strip().strip('"') or None


def bounces(admin_url: str) -> int:
    """How many requests were sent on to another side inside the gateway since it started."""
    text = _get(admin_url, f"/stats?filter={quote(BOUNCE_COUNTER)}")
    return sum(int(line.rpartition(":")[2]) for line in text.splitlines() if line.startswith("cluster."))


def _get(admin_url: str, path: str) -> str:
    try:
        response = _HTTP.request("GET", admin_url.rstrip("/") + path)
    except urllib3.exceptions.HTTPError as error:
        raise StackError(
            f"the gateway's admin does not answer: {error}",
            place=admin_url,
            remedy="see that the gateway runs (`strangler env`)",
        ) from error
    if response.status != 200:
        raise StackError(
            f"the gateway's admin answers {response.status}",
            place=admin_url + path,
            remedy="see var/log/gateway.log",
        )
    return response.data.decode()
