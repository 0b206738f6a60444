"""``/healthz``, ``/readyz`` and ``/metrics`` of a process that serves nothing else: workers, relays and sweepers.

``METRICS_PORT`` is the port, 0 means any free one; ``METRICS_ADDRESS`` is 127.0.0.1 unless set.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from django.db import connections
from prometheus_client import REGISTRY
from prometheus_client.exposition import choose_encoder

from chassis import environment
from chassis.servers import health

logger = logging.getLogger("chassis.servers.probes")

LOOPBACK = "127.0.0.1"
PATIENCE_SECONDS = 10.0  # for a client that says nothing

Answer = tuple[int, str, bytes]


def serve_if_asked() -> None:
    """Serves if the environment names a port."""
    if os.environ.get("METRICS_PORT"):
        serve(environment.number("METRICS_PORT", default=0), os.environ.get("METRICS_ADDRESS") or LOOPBACK)


def serve(port: int, address: str = LOOPBACK) -> ThreadingHTTPServer:
    """Serves in threads until the process ends, or ``shutdown``. Raises OSError when the port is taken."""
    # One thread per request: a probe of liveness must not wait for one that asks for the database.
    server = ThreadingHTTPServer((address, port), _Handler)
    Thread(target=server.serve_forever, name="chassis-probes", daemon=True).start()
    logger.info("metrics_served", extra={"port": server.server_port})
    return server


class _Handler(BaseHTTPRequestHandler):
    timeout = PATIENCE_SECONDS

    def do_GET(self) -> None:
        answer = ANSWERS.get(self.path.partition("?")[0])
        status, kind, body = answer(self) if answer else (404, "text/plain", b"")
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: Any) -> None:
        """Logs nothing: probes come every few seconds."""


def _alive(_: _Handler) -> Answer:
    return _json(*health.liveness())


def _ready(_: _Handler) -> Answer:
    try:
        return _json(*health.readiness())
    finally:
        # The thread ends with the answer, and would leave its database session open.
        connections.close_all()


def _metrics(request: _Handler) -> Answer:
    # The samples of this process alone, wherever it keeps them.
    encode, kind = choose_encoder(request.headers.get("Accept", ""))
    return 200, kind, encode(REGISTRY)


def _json(status: int, content: dict[str, Any]) -> Answer:
    return status, "application/json", json.dumps(content).encode()


ANSWERS: dict[str, Callable[[_Handler], Answer]] = {"/healthz": _alive, "/readyz": _ready, "/metrics": _metrics}
