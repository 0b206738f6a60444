"""Questions to Envoy's admin port."""

from __future__ import annotations

from urllib.parse import quote

import urllib3

from strangler.adapters.envoy.bootstrap import ROUTE_CONFIGURATION, STAT_PREFIX
from strangler.domain.errors import StackError

TIMEOUT_SECONDS = 2.0
VERSION_TEXT = rf"http\.{STAT_PREFIX}\.rds\.{ROUTE_CONFIGURATION}\.version_text"
ACTIVE_REQUESTS = rf"http\.{STAT_PREFIX}\.downstream_rq_active"
FORBIDDEN = 403
BOUNCE_COUNTER = "upstream_internal_redirect_succeeded_total"

_HTTP = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(total=TIMEOUT_SECONDS))


def live_version(admin_url: str) -> str | None:
    """The version of the route table that Envoy follows now; ``None`` before the first table.

    It is read from the statistics: Envoy accepts a table that differs only in its version, but
    ``/config_dump`` still names the version before it.
    """
    text = _ask(admin_url, f"/stats?filter={quote(f'^{VERSION_TEXT}$')}")
    return text.partition(":")[2].strip().strip('"') or None


def bounces(admin_url: str) -> int:
    """How many requests were sent on to another side inside the gateway since it started."""
    text = _ask(admin_url, f"/stats?filter={quote(BOUNCE_COUNTER)}")
    return sum(int(line.rpartition(":")[2]) for line in text.splitlines() if line.startswith("cluster."))


def fail_health(admin_url: str) -> bool:
    """Has Envoy tell each client, with its next answer, to close the connection; it goes on taking new ones.

    Unlike `/drain_listeners?graceful` it begins with all clients at once, closes no port while clients may still be
    sent there, and can be taken back. False if the bootstrap does not allow it; see `write_bootstrap`.
    """
    return _order(admin_url, "/healthcheck/fail")


def pass_health(admin_url: str) -> bool:
    """Takes `fail_health` back."""
    return _order(admin_url, "/healthcheck/ok")


def requests_under_way(admin_url: str) -> int:
    """How many requests wait for their answer now."""
    text = _ask(admin_url, f"/stats?filter={quote(f'^{ACTIVE_REQUESTS}$')}")
    return int(text.rpartition(":")[2] or 0)


def _order(admin_url: str, path: str) -> bool:
    response = _answer(admin_url, path, "POST")
    if response.status not in (200, FORBIDDEN):
        raise _wrong(admin_url, path, response.status)
    return response.status == 200


def _ask(admin_url: str, path: str) -> str:
    response = _answer(admin_url, path, "GET")
    if response.status != 200:
        raise _wrong(admin_url, path, response.status)
    return response.data.decode()


def _answer(admin_url: str, path: str, method: str) -> urllib3.BaseHTTPResponse:
    try:
        return _HTTP.request(method, admin_url.rstrip("/") + path)
    except urllib3.exceptions.HTTPError as error:
        raise StackError(
            f"the gateway's admin does not answer: {error}",
            place=admin_url,
            remedy="see that the gateway runs (`strangler env`)",
        ) from error


def _wrong(admin_url: str, path: str, status: int) -> StackError:
    return StackError(
        f"the gateway's admin answers {status}",
        place=admin_url + path,
        remedy="see the gateway's log (in a local stack var/log/gateway.log)",
    )
