"""gunicorn's threaded worker, changed: when it stops, no client has connected in vain, and it waits for no client for
ever."""

from __future__ import annotations

import json
import select
import socket
from concurrent.futures import Future
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from gunicorn import util  # type: ignore[import-untyped]
from gunicorn.workers import gthread  # type: ignore[import-untyped]

from chassis.process import waiting
from chassis.process.patience import PatientSocket

LINGER_SECONDS = 2.0  # for a client that still sends after its answer, so that it can read the answer
LEFT_OVER_BYTES = 1 << 16
# All that is said where gunicorn answers itself.
TOLD = {
    HTTPStatus.BAD_REQUEST: "The request cannot be read.",
    HTTPStatus.FORBIDDEN: "This is not done here.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is larger than what is taken here.",
    HTTPStatus.REQUEST_URI_TOO_LONG: "The address is too long.",
    HTTPStatus.EXPECTATION_FAILED: "What the request expects is not done here.",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "The headers are too many, or too large.",
    HTTPStatus.INTERNAL_SERVER_ERROR: "An error of the server; it has been logged.",
    HTTPStatus.NOT_IMPLEMENTED: "The body comes in a way that is not known here.",
}


class Worker(gthread.ThreadWorker):  # type: ignore[misc]
    """When it is asked to end, it takes the clients that have connected, and refuses clients that come later.

    gunicorn keeps its listeners open until the last request is answered: a client that connects meanwhile is not
    refused, sends its request, and is cut off. Only a refusal tells a gateway that the request can go elsewhere.

    A silent client has no thread, and no client can hold up the thread that accepts connections.
    """

    def set_accept_enabled(self, enabled: bool) -> None:
        """gunicorn calls it at the end, and also while the worker runs, when it has as many connections as it may."""
        super().set_accept_enabled(enabled)
        if enabled or self.alive:
            return
        for listener in self.sockets:
            while select.select([listener], [], [], 0)[0]:
                self.accept(listener)
            listener.close()

    def enqueue_req(self, conn: Any) -> None:
        """Called with each request of a connection."""
        if not conn.initialized and not self.cfg.is_ssl and not isinstance(conn.sock, PatientSocket):
            conn.sock = PatientSocket.around(conn.sock)
        if isinstance(conn.sock, PatientSocket):
            conn.sock.begin()
        silent = not conn.initialized and not conn.data_ready and not _has_come(conn.sock)
        if silent and self.alive:
            deferred: Future[object] = Future()
            deferred.set_result(gthread._DEFER)
            self.finish_request(conn, deferred)
        else:
            super().enqueue_req(conn)

    def handle(self, conn: Any) -> Any:
        """Called in a thread of the pool."""
        try:
            result = super().handle(conn)
            if not result:
                _take_leave(conn.sock)
            return result
        finally:
            waiting.process.end()


def _has_come(sock: Any) -> bool:
    poll = select.poll()  # select knows no more than 1024 connections
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


def _take_leave(sock: Any) -> None:
    """Reads what still comes. Otherwise the connection would be reset, and its last answer lost.

    gunicorn does so when it closes, in the one thread that also accepts all connections.
    """
    if isinstance(sock, PatientSocket):
        sock.patience = min(sock.patience, LINGER_SECONDS)
    with suppress(OSError, ValueError):
        sock.shutdown(socket.SHUT_WR)
        sock.settimeout(LINGER_SECONDS)
        drained = 0
        while drained < LEFT_OVER_BYTES and (data := sock.recv(4096)):
            drained += len(data)


def write_error(sock: socket.socket, status: int, reason: str, message: str) -> None:
    """Answers requests that gunicorn cannot read, which never reach Django, in the shape of all other errors.

    What gunicorn would say repeats parts of the request, and how it names things tells which server it is.
    """
    usual = HTTPStatus.BAD_REQUEST if status < HTTPStatus.INTERNAL_SERVER_ERROR else HTTPStatus.INTERNAL_SERVER_ERROR
    known = HTTPStatus(status) if status in TOLD else usual
    body = json.dumps({"detail": TOLD[known]})
    head = f"HTTP/1.1 {known.value} {known.phrase}\r\nConnection: close\r\nContent-Type: application/json\r\n"
    util.write_nonblock(sock, f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())


# gunicorn's workers look these functions up there; there is no hook.
util.write_error = write_error
util.close_graceful = util.close
