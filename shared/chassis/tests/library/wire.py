"""Django behind gunicorn's own reading of HTTP, in this process: a request is what stands on the wire."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from http.client import HTTPResponse
from types import TracebackType
from typing import Any

from chassis.process import waiting
from chassis.process.patience import PatientSocket
from django.core.handlers.wsgi import WSGIHandler
from django.db import connections
from gunicorn import http
from gunicorn.config import Config
from gunicorn.http import wsgi


class Wire:
    """Serves ``application``, each connection in a thread of its own, for one request."""

    def __init__(self, application: Callable[..., Any] | None = None) -> None:
        self._application = application or WSGIHandler()
        self._configuration = Config()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Wire:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._listener.close()

    @property
    def address(self) -> Any:
        return self._listener.getsockname()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.address[1]}"

    def send(self, raw: bytes, *, end: bool = False) -> tuple[HTTPResponse, bytes]:
        """The answer to exactly these bytes, after which nothing comes where they are the ``end``."""
        with socket.create_connection(self.address, 60) as client:
            client.sendall(raw)
            if end:
                client.shutdown(socket.SHUT_WR)
            answer = HTTPResponse(client)
            answer.begin()
            return answer, answer.read()

    def _accept(self) -> None:
        while True:
            try:
                client, address = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client, address), daemon=True).start()

    def _serve(self, plain: socket.socket, address: Any) -> None:
        with PatientSocket.around(plain) as client:
            client.begin()
            try:
                parsed = next(http.get_parser(self._configuration, client, address))
                answer, environ = wsgi.create(parsed, client, address, client.getsockname(), self._configuration)
                answer.force_close()
                pieces = self._application(environ, answer.start_response)
                for piece in pieces:
                    answer.write(piece)
                answer.close()
                pieces.close()
                # A connection that is closed upon unread bytes is reset, and the answer with it.
                client.shutdown(socket.SHUT_WR)
                while client.recv(65536):
                    pass
            except OSError:
                pass  # the client has left
            finally:
                waiting.process.end()
                connections.close_all()
