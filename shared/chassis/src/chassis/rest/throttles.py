"""REST framework's throttles, by `chassis.process.clients`."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.throttling import ScopedRateThrottle

from chassis.process import clients


class ClientThrottle(ScopedRateThrottle):
    """Has one rate for all version 6 addresses of a network, because each host has more addresses than it could use."""

    def get_ident(self, request: Request) -> str:
        return clients.of(request._request)
