"""Who a visitor is to the gateway: the address that came with the request, as far as it can be believed.

Note "one entry a hop": a gateway that believes N proxies takes the N-th address from the end of X-Forwarded-For. The
storefront is the only proxy between a visitor and the gateway, so it writes the visitor's address N times. A gateway
that believes none ignores the header, and counts all visitors as one client.
"""

from __future__ import annotations

import ipaddress

from django.conf import settings
from django.http import HttpRequest


def of(request: HttpRequest) -> str:
    """The visitor's address; that of the nearest proxy where fewer have appended one than there are said to be."""
    nearest = str(request.META.get("REMOTE_ADDR", ""))
    hops: int = settings.STOREFRONT_TRUSTED_HOPS
    if not hops:
        return nearest
    entries = [each.strip() for each in request.headers.get("x-forwarded-for", "").split(",")]
    if len(entries) < hops:
        return nearest
    try:
        return str(ipaddress.ip_address(entries[-hops]))
    except ValueError:
        return nearest


def told(address: str) -> str:
    """X-Forwarded-For for the gateway; see the note."""
    return ", ".join([address] * max(1, settings.GATEWAY_TRUSTED_HOPS))
