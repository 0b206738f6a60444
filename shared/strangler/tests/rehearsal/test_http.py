"""What is sent over HTTP, as a server receives it."""

from __future__ import annotations

import threading
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer

from strangler.domain.traffic import Operation
from strangler.rehearsal.adapters.http import Connection


class Echo(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_a_field_with_several_values_is_sent_several_times() -> None:
    server = HTTPServer(("127.0.0.1", 0), Echo)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        with closing(Connection(f"http://127.0.0.1:{server.server_port}")) as connection:
            form = {"reasons": ["late", "wet"], "note": None, "days": 3, "none": []}
            answer = connection.send(Operation("POST", "/", form=form))
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

    assert answer.body == b"reasons=late&reasons=wet&note=&days=3"
