"""The house and the stage as processes, and somebody who comes with a browser."""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import postgres_node
import psycopg
from library.programs import MIGRATE, WEB, Running, run
from server_node import ServerNode

SECRET = "what-both-sides-know-and-nobody-else-does"
COOKIE = "sessionid"
ASGI = (sys.executable, "-m", "theatre.asgi")
_numbers = itertools.count(1)


class Person:
    """Has an account in the house, and cookies for both sides, as a browser has them behind one gateway."""

    def __init__(self, company: Company, **told: Any) -> None:
        self.name = f"person {next(_numbers)}"
        answer = company.at_house("POST", "/people", json={"username": self.name, "password": "a password", **told})
        self.id, self.token = answer.json()["id"], answer.json()["token"]
        self.cookies = httpx.Cookies()
        self.at = f"http://127.0.0.1:{company.house.port}"

    def log_in(self) -> Person:
        self.house("/login", {"username": self.name, "password": "a password"})
        return self

    @property
    def key(self) -> str:
        return self.cookies[COOKIE]

    def house(self, path: str, told: Any = None, method: str = "POST") -> httpx.Response:
        with httpx.Client(cookies=self.cookies, timeout=30) as client:
            answer = client.request(method, f"{self.at}{path}", json=told)
            self.cookies = client.cookies
        assert answer.is_success, answer.text
        return answer

    def ask(self, stage: Running, path: str, method: str = "GET", **content: Any) -> httpx.Response:
        return ask(stage, path, method, cookies=self.cookies, **content)


class Company:
    """The house, with its own database; stages are put up beside it."""

    def __init__(self, server: ServerNode, folder: Path) -> None:
        self.url = server.url
        self.stage_url = f"{server.url.rpartition('/')[0]}/stage"
        self.folder = folder
        self.house = self._open()

    def _open(self, **environment: str) -> Running:
        environment |= {"DJANGO_SETTINGS_MODULE": "theatre.house", "IDENTITY_SECRETS": SECRET}
        return Running(WEB, self.folder / "house.log", DATABASE_URL=self.url, **environment)

    @contextmanager
    def stage(
        self, seconds: float = 0, *, asynchronous: bool = False, url: str = "", secret: str = SECRET
    ) -> Iterator[Running]:
        """A process without users; ``url`` is whom it asks, if that is not the house."""
        environment = {
            "DJANGO_SETTINGS_MODULE": "theatre.stage",
            "DATABASE_URL": self.stage_url,
            "IDENTITY_URL": url or f"http://127.0.0.1:{self.house.port}",
            "IDENTITY_SECRETS": secret,
            "IDENTITY_SECONDS": str(seconds),
        }
        log = self.folder / f"stage-{next(_numbers)}.log"
        with Running(ASGI if asynchronous else WEB, log, **environment) as running:
            running.await_status("/everybody", 200)
            yield running

    @contextmanager
    def closed(self) -> Iterator[None]:
        """The house is away meanwhile."""
        port = self.house.port
        assert self.house.end() == 0
        try:
            yield
        finally:
            self.house = self._open(PORT=str(port))
            self.house.port = port
            self.house.await_status("/readyz", 200)

    def at_house(self, method: str, path: str, **content: Any) -> httpx.Response:
        return httpx.request(method, f"http://127.0.0.1:{self.house.port}{path}", timeout=30, **content)


@contextmanager
def company(server: ServerNode, folder: Path) -> Iterator[Company]:
    postgres_node.renew(server)
    with psycopg.connect(server.url, autocommit=True) as session:
        session.execute("DROP DATABASE IF EXISTS stage WITH (FORCE)")
        session.execute("CREATE DATABASE stage")
    run(MIGRATE, DATABASE_URL=server.url, DJANGO_SETTINGS_MODULE="theatre.house")
    made = Company(server, folder)
    try:
        made.house.await_status("/readyz", 200)
        yield made
    finally:
        made.house.__exit__(None, None, None)


def ask(stage: Running, path: str, method: str = "GET", **content: Any) -> httpx.Response:
    """Redirects are not followed."""
    cookies = content.pop("cookies", None)
    with httpx.Client(cookies=cookies, timeout=30) as client:
        return client.request(method, f"http://127.0.0.1:{stage.port}{path}", **content)


def lookups(stage: Running, outcome: str = "answered") -> int:
    """How often the stage has asked."""
    pattern = rf'^chassis_identity_lookups_total{{outcome="{outcome}"}} (\d+)'
    found = re.search(pattern, ask(stage, "/metrics").text, re.MULTILINE)
    return int(found[1]) if found else 0
