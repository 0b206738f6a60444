"""The other services as this one sees them: behind a gateway, over HTTP."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

from chassis.calls.client import Client
from chassis.identity import tokens
from chassis.identity.principals import Principal
from django.test import override_settings


class Neighbours:
    """``products`` and ``users`` by id, as they answer; ``silent`` names those that do not."""

    def __init__(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.products: dict[int, dict[str, Any]] = {}
        self.users: dict[int, dict[str, Any]] = {}
        self.silent: set[str] = set()

    def __enter__(self) -> Neighbours:
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def reset(self, key_file: str) -> None:
        self.products, self.users, self.silent = {}, {}, set()
        self._key_file = key_file
        with override_settings(TOKEN_KEY_FILE=key_file):
            self.keys = tokens.jwks()

    def token(self, who: Principal) -> str:
        with override_settings(TOKEN_KEY_FILE=self._key_file):
            return tokens.issue(who).access

    def client(self) -> Client:
        """A client that knows of no earlier failures, and asks only once."""
        return _Both(self.url)

    def answer(self, path: str, authorization: str) -> tuple[int, Any]:
        """Status and body for a GET."""
        url = urlsplit(path)
        if url.path == "/.well-known/jwks.json":
            return 200, self.keys
        service = url.path.split("/")[2]
        if service in self.silent:
            return 503, {}
        tokens.verify_service(authorization.removeprefix("Bearer "), audience=service)
        if service == "products":
            ids = map(int, parse_qs(url.query)["ids"][0].split(","))
            return 200, [self.products[pk] for pk in ids if pk in self.products]
        user = self.users.get(int(url.path.split("/")[3]))
        return (200, user) if user else (404, {})


class _Both:
    """A client of both services: the path says which of them is meant."""

    def __init__(self, url: str) -> None:
        self._clients = {
            name: Client(name, url, caller="orders", attempts=1, timeout=2) for name in ("users", "products")
        }

    def get(self, path: str, **how: Any) -> Any:
        return self._clients[path.split("/")[2]].get(path, **how)


def _handler(neighbours: Neighbours) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = neighbours.answer(self.path, self.headers.get("Authorization", ""))
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments: object) -> None:
            pass

    return Handler
