"""REST framework's throttles with counts that all processes of a side share. Clients are those of
`chassis.process.clients`.

Note "a period": ``20/min`` is twenty within the minute that begins with a client's first request. So a row has one
number, whatever the rate is. REST framework keeps the time of each request instead, and loses some where several come
at once.
"""

from __future__ import annotations

import hashlib
from typing import Any

from rest_framework.request import Request
from rest_framework.throttling import AnonRateThrottle, ScopedRateThrottle, SimpleRateThrottle, UserRateThrottle

from chassis.database import counts
from chassis.process import body, clients


class SharedRate(SimpleRateThrottle):
    """Put it behind a throttle of REST framework, as a base of your own one, and its counts are shared.

    A request that is run again, because it met a fence, counts once. Where the database cannot count, the process
    counts alone (`chassis.database.counts`).
    """

    num_requests: int
    duration: int  # seconds
    left: float | None = None  # seconds until the present period ends, where the request is not allowed

    def allow_request(self, request: Request, view: Any) -> bool:
        """Counts the request; nothing is counted where it is not allowed."""
        if self.rate is None:
            return True
        named = self.get_cache_key(request, view)
        if named is None:
            return True
        key = "rate-" + hashlib.sha256(named.encode(errors="replace")).hexdigest()
        done = body.done(request._request)
        if key in done:
            return True
        self.left = counts.shared().count(key, limit=self.num_requests, seconds=self.duration)
        if self.left is None:
            done.add(key)
        return self.left is None

    def wait(self) -> float | None:
        """Seconds until the client may ask again."""
        return self.left

    def get_ident(self, request: Request) -> str:
        """One for all version 6 addresses of a network, because each host has more addresses than it could use."""
        return clients.of(request._request)


class ClientThrottle(ScopedRateThrottle, SharedRate):
    """The rate of the view's ``throttle_scope``, for each client."""


class AnonThrottle(AnonRateThrottle, SharedRate):
    """The rate ``anon``, for each client without an account."""


class UserThrottle(UserRateThrottle, SharedRate):
    """The rate ``user``, for each account, and for each client without one."""
