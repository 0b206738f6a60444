"""A server that answers as a test has written down, over connections that are kept."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from library.peer import Received


@dataclass(frozen=True)
class Answer:
    """``drip`` seconds pass before each of the body's bytes; ``cut`` ends the connection instead of answering."""

    status: int = 200
    body: bytes = b'{"title": "Emma"}'
    headers: dict[str, str] = field(default_factory=dict)
    drip: float = 0.0
    cut: bool = False
    until: threading.Event | None = None  # the answer waits for it


class Shelf:
    """Gives its ``answers`` in turn, and then the last one for ever; ``received`` is in the order of arrival."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers or [Answer()])
        self.received: list[Received] = []
        self.arrivals: list[float] = []
        self.connections: set[object] = set()
        self._turn = threading.Lock()

    def __enter__(self) -> Shelf:
        shelf = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def answer(self) -> None:
                shelf._answer(self)

            do_GET = do_POST = do_DELETE = answer

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        with self._turn:
            self.received.append(Received(handler.command, handler.path, headers, body))
            self.arrivals.append(time.monotonic())
            self.connections.add(handler.client_address)
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer.until is not None:
            answer.until.wait(10)
        handler.close_connection = answer.cut
        if not answer.cut:
            self._write(handler, answer)

    def _write(self, handler: BaseHTTPRequestHandler, answer: Answer) -> None:
        handler.send_response(answer.status)
        for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        try:
            for byte in answer.body if answer.drip else b"":
                time.sleep(answer.drip)
                handler.wfile.write(bytes([byte]))
            handler.wfile.write(b"" if answer.drip else answer.body)
        except OSError:
            handler.close_connection = True  # the client has gone
