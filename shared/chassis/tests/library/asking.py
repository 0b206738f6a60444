"""A client of the library's project that asks in a thread of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from django.db import connections
from django.http import HttpResponse
from django.test import Client

Ask = Callable[..., "Future[HttpResponse]"]


@contextmanager
def asking() -> Iterator[Ask]:
    """Asks for a path, by POST unless a method is named; the thread leaves no session of the database open."""
    client = Client(headers={"host": "library.example"}, raise_request_exception=False)

    def send(path: str, method: str = "POST") -> HttpResponse:
        try:
            return client.generic(method, path, b"{}", content_type="application/json")
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as thread:
        yield lambda *arguments: thread.submit(send, *arguments)
