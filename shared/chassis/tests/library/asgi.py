"""Django behind uvicorn, in this process: requests come by a socket, and each has a thread of its own."""

from __future__ import annotations

import socket
import threading
from types import TracebackType
from typing import Any

import uvicorn
from django.core.handlers.asgi import ASGIHandler

from library.waiting import until


class Asgi:
    """Serves ``application``, which is Django as it is set up when this is made."""

    def __init__(self, application: Any = None) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        configuration = uvicorn.Config(application or ASGIHandler(), lifespan="off", log_level="error", http="h11")
        self._server = uvicorn.Server(configuration)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)

    def __enter__(self) -> Asgi:
        self._thread.start()
        until(lambda: self._server.started)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join(30)
        self._socket.close()

    @property
    def address(self) -> Any:
        return self._socket.getsockname()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.address[1]}"
