"""A real Envoy with the usual limits, only smaller, between a client and two servers."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path

import pytest
import urllib3
from envoys import Request, Side, eventually, free_port, running, says
from strangler.adapters import envoy
from strangler.adapters.envoy import bootstrap, routes
from strangler.domain.project import CLOSED, MONOLITH, SERVICE
from strangler.domain.route import Route
from strangler.domain.routing import ALL_TO_MONOLITH, ALL_TO_SERVICE, CapabilityRoutes, RouteTable

MIB = 1 << 20
ROUTE_SECONDS = 1.0
THINGS = [
    Route(frozenset({"GET", "POST"}), "/things"),
    Route(frozenset({"POST"}), "/things/small", max_body=1000),
    Route(frozenset({"POST"}), "/things/large", max_body=20 * MIB),
    Route(frozenset({"GET"}), "/things/slow", timeout=20),
    Route(frozenset({"GET"}), "/things/endless", timeout=0),
    Route(frozenset(), "/caf\u00e9"),
    Route(frozenset(), "/things/*"),
]
OTHERS = [Route(frozenset({"GET"}), "/reports/brief", timeout=1)]


@dataclass
class Gateway:
    port: int
    admin: str
    directory: Path
    monolith: Side
    service: Side

    def request(self, method: str, path: str, **rest: object) -> urllib3.BaseHTTPResponse:
        # Not by the address alone, for urllib3 would rewrite some paths.
        pool = urllib3.HTTPConnectionPool("127.0.0.1", self.port, retries=False)
        with closing(pool):
            return pool.urlopen(method, path, redirect=False, **rest)  # type: ignore[arg-type]

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), 60)

    def send(self, raw: bytes) -> tuple[HTTPResponse, bytes]:
        """The answer to exactly these bytes."""
        with self.connect() as client:
            client.sendall(raw)
            answer = HTTPResponse(client, method=raw.partition(b" ")[0].decode())
            answer.begin()
            return answer, answer.read()

    def switch(self) -> None:
        """Leads all requests of the capability to its service."""
        envoy.publish(self.directory, table("switched", ALL_TO_SERVICE))
        eventually(lambda: envoy.live_version(self.admin) == "switched")


def table(version: str, shares: dict[str, int] = dict(ALL_TO_MONOLITH)) -> RouteTable:  # noqa: B006  never changed
    things = CapabilityRoutes("things", THINGS, {MONOLITH: "monolith", SERVICE: "things"}, shares, shares)
    return RouteTable(version, [things], default="monolith", others=OTHERS, closed=CLOSED)


@contextmanager
def short_of_memory(directory: Path) -> Iterator[Gateway]:
    """A gateway whose heap some dozens of clients fill; its monolith answers for all."""
    monolith, port, admin_port = Side("monolith", says("monolith")), free_port(), free_port()
    monolith.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bootstrap, "HEAP_BYTES", 48 * MIB)
        envoy.write_bootstrap(directory, port=port, admin_port=admin_port, access_log=None)
    envoy.publish_clusters(directory, {"monolith": monolith.address, "things": monolith.address})
    envoy.publish(directory, table("first"))
    try:
        with running(directory, admin_port):
            yield Gateway(port, f"http://127.0.0.1:{admin_port}", directory, monolith, monolith)
    finally:
        monolith.stop()


@contextmanager
def limited(directory: Path) -> Iterator[Gateway]:
    """A gateway with the limits of the real one, but with times and numbers for which a test can wait."""
    monolith, service = Side("monolith", says("monolith")), Side("things", says("service"))
    monolith.start()
    service.start()
    port, admin_port = free_port(), free_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bootstrap, "HEADERS_TIMEOUT", "1s")
        patch.setattr(bootstrap, "LEAST_REQUEST_SECONDS", 2)
        patch.setattr(bootstrap, "SLOWEST_BYTES_PER_SECOND", 20 * MIB)
        patch.setattr(bootstrap, "CONNECTIONS", 100)
        patch.setattr(routes, "ROUTE_SECONDS", ROUTE_SECONDS)
        envoy.write_bootstrap(directory, port=port, admin_port=admin_port, access_log=directory / "access.log")
        envoy.publish_clusters(directory, {"monolith": monolith.address, "things": service.address})
        envoy.publish(directory, table("first"))
        try:
            with running(directory, admin_port):
                yield Gateway(port, f"http://127.0.0.1:{admin_port}", directory, monolith, service)
        finally:
            monolith.stop()
            service.stop()


def renew(stage: Gateway) -> None:
    """The gateway in its first state."""
    for side, name in ((stage.monolith, "monolith"), (stage.service, "service")):
        side.reply = says(name)
        side.requests.clear()
    version = f"first-{time.monotonic_ns()}"
    envoy.publish(stage.directory, table(version))
    eventually(lambda: envoy.live_version(stage.admin) == version)


def bounce(request: Request) -> tuple[int, dict[str, str], bytes]:
    """Bounces like the fence, for a path that it has decoded."""
    address = f"{request.headers['x-forwarded-proto']}://{request.headers['host']}{request.path}"
    return 307, {"location": address, "x-strangler-to": SERVICE, "x-strangler-capability": "things"}, b""
