"""What the tests use: a server that answers as the public interface does, and a browser without scripts."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import Client
from storefront import interface

MILK = {
    "id": 7, "name": "WHOLE MILK", "category": 2, "brand": "NATIONAL", "size": "1 GAL",
    "price": "2.50", "currency": "USD", "stock": 5, "updated_at": "2026-01-01T00:00:00Z",
}  # fmt: skip
DEPARTMENTS = [
    {"id": 1, "name": "DAIRY", "slug": "dairy", "parent": None},
    {"id": 2, "name": "MILK", "slug": "dairy-milk", "parent": 1},
]
ADA = {"id": 1, "email": "ada@example.com", "full_name": "Ada Lovelace", "created_at": "2026-01-01T00:00:00Z"}


def order(status: str = "confirmed", pk: int = 41) -> dict[str, Any]:
    line = {"product_id": 7, "name": "WHOLE MILK", "quantity": 2, "unit_price": "2.50"}
    placed = "2026-02-03T04:05:06Z"
    return {"id": pk, "status": status, "total": "5.00", "currency": "USD", "created_at": placed, "lines": [line]}


def listed(*results: Any, cursor: str = "") -> dict[str, Any]:
    following = f"http://gateway/anywhere?cursor={cursor}&page_size=24" if cursor else None
    return {"next": following, "previous": None, "results": list(results)}


@dataclass
class Asked:
    """A request that came to the interface."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass
class Answers:
    """What the interface answers, by method and path: a content, or a status with a content and headers, or a function
    of the request that gives either. ``asked`` has all that came."""

    url: str = ""
    by_route: dict[tuple[str, str], Any] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    def give(self, method: str, path: str, answer: Any) -> None:
        self.by_route[method, path] = answer

    def of(self, method: str, path: str) -> list[Asked]:
        return [each for each in self.asked if (each.method, each.path) == (method, path)]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    answers: Answers

    def _answer(self) -> None:
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        headers = {name.lower(): value for name, value in self.headers.items()}
        asked = Asked(self.command, parts.path, query, headers, json.loads(body) if body else None)
        self.answers.asked.append(asked)
        found = self.answers.by_route.get((self.command, parts.path), (404, {"detail": "Not found."}, {}))
        found = found(asked) if callable(found) else found
        status, content, more = found if isinstance(found, tuple) else (200, found, {})
        told = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"content-length": str(len(told)), **more}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(told)

    do_GET = _answer  # noqa: N815  that is how the library calls it
    do_POST = _answer  # noqa: N815

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def api(settings: Any) -> Iterator[Answers]:
    """The interface, with a few things on its shelves."""
    answers = Answers()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"answers": answers}))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    answers.url = settings.GATEWAY_URL = f"http://127.0.0.1:{server.server_port}"
    answers.give("GET", "/api/v1/products", listed(MILK))
    answers.give("GET", "/api/v1/products/7", MILK)
    answers.give("GET", "/api/v1/categories", listed(*DEPARTMENTS))
    answers.give("GET", "/api/v1/users/me", ADA)
    answers.give("POST", "/api/v1/users", (201, ADA, {}))
    answers.give("POST", "/api/v1/auth/token", {"access": "access-1", "refresh": "refresh-1"})
    answers.give("POST", "/api/v1/auth/refresh", {"access": "access-2", "refresh": "refresh-2"})
    answers.give("GET", "/api/v1/orders", listed(order()))
    answers.give("GET", "/api/v1/orders/41", order())
    answers.give("POST", "/api/v1/orders", (201, order(), {}))
    answers.give("POST", "/api/v1/orders/41/cancel", order("cancelled"))
    yield answers
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def _nothing_known() -> None:
    """Each test begins as a process does."""
    interface._gateways.clear()
    interface._categories.clear()


@pytest.fixture
def browser() -> Client:
    return Client(HTTP_HOST="localhost", enforce_csrf_checks=False)


@pytest.fixture
def ada(browser: Client, api: Answers) -> Client:
    """Ada's browser, with two gallons of milk in her cart."""
    browser.post("/login", {"email": "ada@example.com", "password": "Grocery-list-91"})
    browser.post("/cart/add/7", {"pieces": 2})
    return browser


@pytest.fixture
def key_of() -> Callable[[Client], str]:
    """The key that the cart's form has."""

    def found(browser: Client) -> str:
        return str(browser.get("/cart").context["key"])

    return found
