"""The sides that the suite compares: the monolith, a capability's own service, and the gateway before both.

The suite runs in stages on one stack: at first nothing is moved; then everything is copied, the monolith owns it, and
the copies in the services are closed; at last each capability has been switched to its service. A side that does not
own a capability sends its requests elsewhere, so the monolith is asked while it owns everything, and the services
afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx
import psycopg
from strangler.adapters import toml
from strangler.domain.project import Capability

from tests.stack import ROOT, Stack

MONOLITH, SERVICE, GATEWAY = "monolith", "service", "gateway"
SIDES = (MONOLITH, SERVICE, GATEWAY)
# Checkouts through the services wait for messages, on a machine that may be busy.
SECONDS = 60

CAPABILITIES: Mapping[str, Capability] = toml.load(ROOT / "strangler.toml").capabilities


class Shop:
    """A stack with sample data that knows how far it has moved."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        environment = stack.environment()
        self._gateway: str = environment["gateway"]
        self._internal = httpx.URL(environment["internal"])
        self._addresses: Mapping[str, str] = environment["addresses"]
        self._databases: Mapping[str, str] = environment["databases"]
        self._owner = dict.fromkeys(CAPABILITIES, MONOLITH)

    def start(self) -> None:
        """Copies every capability, and closes the copies; the monolith goes on as the owner."""
        for capability in CAPABILITIES:
            self._stack.run("start", capability)

    def switch(self, *capabilities: str) -> None:
        """Gives them to their services."""
        for capability in capabilities:
            self._stack.run("verify", capability)
            self._stack.run("switch", capability, "--yes")
            self._owner[capability] = SERVICE

    @property
    def owners(self) -> set[str]:
        """One of two sides, or both."""
        return set(self._owner.values())

    def connect(self, side: str, capability: str = "") -> httpx.Client:
        """A client of the process that answers for the capability on that side; monolith and gateway answer for all.

        At the gateway it asks for internal paths where services do.
        """
        transport = _TwoDoors(self._internal) if side == GATEWAY else None
        return httpx.Client(base_url=self._address(side, capability), timeout=SECONDS, transport=transport)

    def outside(self) -> httpx.Client:
        """A client that comes in where strangers do, whatever it asks for."""
        return httpx.Client(base_url=self._gateway, timeout=SECONDS)

    def database(self, side: str, capability: str) -> psycopg.Connection[Any]:
        """A session in the database of that side; the gateway's is the present owner's."""
        side = self._owner[capability] if side == GATEWAY else side
        name = MONOLITH if side == MONOLITH else CAPABILITIES[capability].database
        return psycopg.connect(self._databases[name], autocommit=True)

    def _address(self, side: str, capability: str) -> str:
        if side == GATEWAY:
            return self._gateway
        return self._addresses[MONOLITH if side == MONOLITH else CAPABILITIES[capability].process]


class _TwoDoors(httpx.HTTPTransport):
    """Sends requests for internal paths to the gateway's internal listener."""

    def __init__(self, internal: httpx.URL) -> None:
        super().__init__()
        self._internal = internal

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.startswith("/internal"):
            request.url = request.url.copy_with(host=self._internal.host, port=self._internal.port)
        return super().handle_request(request)
