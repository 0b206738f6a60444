"""A limit: how often one client, or one account, may ask for some routes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from strangler.domain.route import Route

CLIENT, ACCOUNT = "client", "account"
EVERYTHING = Route(frozenset(), "/*")


@dataclass(frozen=True, slots=True)
class Limit:
    """So many ``requests`` in so many ``seconds``, for each client (its address, or its IPv6 network) or account, on
    all of the ``routes`` together. Several gateways count together where a ``service``, at ``http://host:port``, is
    asked as well."""

    name: str
    requests: int
    seconds: int
    per: str = CLIENT
    routes: Sequence[Route] = (EVERYTHING,)
    service: str = ""
