"""gunicorn's threaded worker, which stops so that nobody has connected in vain, and waits for nobody for ever."""

from __future__ import annotations

import json
import select
import socket
from typing import Any

from gunicorn import util  # type: ignore[import-untyped]
from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]

from chassis.patience import PatientSocket


class Worker(ThreadWorker):  # type: ignore[misc]
    """Takes those who have connected when it is asked to end, and refuses whoever comes later.

    gunicorn keeps its listeners open until the last request is answered: whoever connects meanwhile is not refused,
    sends its request, and is cut off. Only a refusal tells a gateway that the request can go elsewhere.
    """

    def set_accept_enabled(self, enabled: bool) -> None:
        """Also called while it runs, when it has as many connections as it may."""
        super().set_accept_enabled(enabled)
        if enabled or self.alive:
            return
        for listener in self.sockets:
            while select.select([listener], [], [], 0)[0]:
                self.accept(listener)
            listener.close()

    def enqueue_req(self, conn: Any) -> None:
        """With each request of a connection."""
        if not conn.initialized and not self.cfg.is_ssl and not isinstance(conn.sock, PatientSocket):
            conn.sock = PatientSocket.around(conn.sock)
        if isinstance(conn.sock, PatientSocket):
            conn.sock.begin()
        super().enqueue_req(conn)


def write_error(sock: socket.socket, status: int, reason: str, message: str) -> None:
    """What gunicorn cannot read never reaches Django: answered in the shape of all other errors."""
    body = json.dumps({"detail": message or f"{reason}."})
    head = f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Type: application/json\r\n"
    util.write_nonblock(sock, f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())


# Its workers look it up there; there is no hook.
util.write_error = write_error
