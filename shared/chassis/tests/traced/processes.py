"""Processes of the traced library, against one database that all tests of a module share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import postgres_node
from library.programs import MIGRATE, Running, run
from server_node import ServerNode


@contextmanager
def database(node: ServerNode) -> Iterator[str]:
    """The address of a database with all tables and no rows."""
    node.start()
    postgres_node.renew(node)
    run(MIGRATE, DATABASE_URL=node.url)
    yield node.url


class Processes:
    """Starts them; all are killed at the end."""

    def __init__(self, url: str, folder: Path) -> None:
        self._folder = folder
        self._common = {
            "DJANGO_SETTINGS_MODULE": "traced.settings",
            "DATABASE_URL": url,
            "BROKER_URL": "memory://",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        }
        self._stack = ExitStack()
        self._count = 0

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def start(self, command: Sequence[str], **environment: str) -> Running:
        self._count += 1
        log = self._folder / f"{self._count}.log"
        return self._stack.enter_context(Running(command, log, **{**self._common, **environment}))


def ask(web: Running, path: str, method: str = "GET", **headers: str) -> httpx.Response:
    return httpx.request(method, f"http://127.0.0.1:{web.port}{path}", headers=headers, timeout=60)
