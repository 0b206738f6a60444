"""REST framework's throttles, by `chassis.process.clients`."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.throttling import ScopedRateThrottle

from chassis.process import clients


class ClientThrottle(ScopedRateThrottle):
    """Has one rate for all addresses of version 6 of a network: each host has more of them than it could use."""

    def get_ident(self, request: Request) -> str:
        return clients.of(request._request)
