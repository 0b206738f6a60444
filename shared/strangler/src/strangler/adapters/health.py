"""A port on which a long-lived command says how it is: ``/healthz``, ``/readyz`` and ``/metrics``."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from strangler.domain.errors import ConfigurationError

Ask = Callable[[], str | None]
"""Returns what is wrong, or None."""


def serve(*, alive: Ask, ready: Ask) -> ThreadingHTTPServer | None:
    """Listens on METRICS_PORT of METRICS_ADDRESS, or of the machine itself without one; does not listen if no port is
    set.

    Raises:
        ConfigurationError: it cannot listen on that port.
    """
    port, address = os.environ.get("METRICS_PORT"), os.environ.get("METRICS_ADDRESS") or "127.0.0.1"
    if not port:
        return None

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 10

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/metrics":
                self._answer(200, CONTENT_TYPE_LATEST, generate_latest())
            elif path in {"/healthz", "/readyz"}:
                wrong = alive() if path == "/healthz" else ready()
                self._answer(503 if wrong else 200, "text/plain; charset=utf-8", f"{wrong or 'ok'}\n".encode())
            else:
                self._answer(404, "text/plain; charset=utf-8", b"not found\n")

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Logs nothing, for probes come every few seconds."""

    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in address else socket.AF_INET

    try:
        server = Server((address, int(port)), Handler)
    except (OSError, ValueError, OverflowError) as error:
        raise ConfigurationError(
            f"cannot listen there: {error}",
            place=f"METRICS_PORT {port}, METRICS_ADDRESS {address}",
            remedy="set others",
        ) from error
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
