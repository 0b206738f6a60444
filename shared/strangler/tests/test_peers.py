"""Whether a process can be sent deletions, as far as it tells."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from strangler.adapters import peers

SECRET = "only-for-tests"


@contextmanager
def answering(status: int, said: bytes) -> Iterator[tuple[str, list[tuple[str, str, str, bytes]]]]:
    """The address of a process that answers this, and what it was asked: path, capability, signature and body."""
    asked: list[tuple[str, str, str, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            asked.append((self.path, self.headers[peers.CAPABILITY], self.headers[peers.SIGNATURE], body))
            self.send_response(status)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_who_has_the_secret_and_says_so_can() -> None:
    with answering(200, b'{"deletions": true}') as (address, asked):
        assert peers.ask(address, "crates", SECRET) is None

    path, capability, signature, body = asked[0]
    assert (path, capability) == (peers.PATH, "crates")
    assert json.loads(body)["kind"] == "probe"
    assert signature == hmac.new(SECRET.encode(), path.encode() + b"\n" + body, hashlib.sha256).hexdigest()


@pytest.mark.parametrize(
    ("status", "said", "reason"),
    [
        (404, b"<h1>Not Found</h1>", "its chassis does not know how"),
        (200, b"<h1>Welcome</h1>", "its chassis does not know how"),
        (200, b"[" * 10_000, "its chassis does not know how"),
        (403, b'{"detail": "CSRF"}', "its chassis does not know how"),
        (403, b'{"detail": "Not accepted: no secret."}', "Not accepted: no secret. Its role has to own"),
    ],
)
def test_everybody_else_cannot(status: int, said: bytes, reason: str) -> None:
    with answering(status, said) as (address, _):
        assert str(peers.ask(address, "crates", SECRET)).startswith(reason)


@pytest.mark.parametrize("address", ["http://127.0.0.1:1", "http://[::1", "http:///nowhere"])
def test_who_does_not_answer_cannot(address: str) -> None:
    assert "does not answer" in str(peers.ask(address, "crates", SECRET))


def test_without_a_secret_nobody_can() -> None:
    assert "it has no secret" in str(peers.ask("http://127.0.0.1:1", "crates", None))


def test_who_has_the_accounts_tells_how_passwords_are_hashed() -> None:
    said = b'{"deletions": true, "passwords": {"writes": "argon2 time_cost=2", "reads": ["argon2"]}}'
    with answering(200, said) as (address, _):
        told = peers.passwords(address, "crates", SECRET)

    assert told is not None
    assert (told.algorithm, told.writes, told.reads) == ("argon2", "argon2 time_cost=2", {"argon2"})


@pytest.mark.parametrize(
    "said", [b'{"deletions": true}', b"<h1>", b'{"passwords": 7}', b'{"passwords": {"reads": []}}']
)
def test_of_whom_does_not_tell_nothing_is_known(said: bytes) -> None:
    with answering(200, said) as (address, _):
        assert peers.passwords(address, "crates", SECRET) is None
    assert peers.passwords("http://127.0.0.1:1", "crates", SECRET) is None
    assert peers.passwords("http://127.0.0.1:1", "crates", None) is None
