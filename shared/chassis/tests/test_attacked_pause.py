"""A crowd, slow clients, and clients that leave, in the pause of a switch: a real Envoy before a real gunicorn."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.db import connection
from library.gateway import Gateway
from library.programs import WEB, Running
from library.side import Side
from library.waiting import until
from library.wire import Wire

pytest.importorskip("envoy")
pytestmark = pytest.mark.skipif(connection.vendor != "postgresql", reason="DATABASE_URL names no PostgreSQL")

THREADS = 8
HELD = THREADS // 2
CROWD = 40
HEAD = b"POST /books HTTP/1.1\r\nHost: 127.0.0.1\r\n"
WHOLE = b"Content-Length: 2\r\n\r\n{}"
SLOW = {
    "body": HEAD + b"Content-Length: 1000\r\n\r\nx",
    "large": HEAD + b"Content-Length: 2000000\r\n\r\nx",
    "chunks": HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nx",
    "headers": HEAD,
}


@dataclass
class Owner:
    """The new owner: until it is open it is as full as the old one, and then it takes every write."""

    is_open: threading.Event = field(default_factory=threading.Event)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Answer:
        environ["wsgi.input"].read()
        status = "201 Created" if self.is_open.is_set() else "503 Service Unavailable"
        start_response(status, [("Content-Length", "0"), ("Retry-After", "1")])
        return Answer([b""])


class Answer(list[bytes]):
    def close(self) -> None:
        """As WSGI has it."""


@dataclass
class Stage:
    gateway: Gateway
    side: Side
    owner: Owner

    def ask(self, head: bytes = HEAD) -> int:
        """The status of the answer."""
        return self.gateway.send(head + WHOLE)[0]

    def begin(self) -> None:
        """A pause."""
        self.owner.is_open.clear()
        self.side.fence()

    def end(self) -> None:
        """The pause, with a new owner."""
        self.owner.is_open.set()
        self.side.hand_over()


@pytest.fixture
def stage(transactional_db: None, tmp_path: Path) -> Iterator[Stage]:
    url = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}").geturl()
    few = {"WEB_AT_WORK": "2", "WEB_THREADS": str(THREADS), "DATABASE_URL": url}
    owner = Owner()
    with ExitStack() as stack:
        wire = stack.enter_context(Wire(owner))
        side = stack.enter_context(Side(wire.url, methods=""))
        web = stack.enter_context(Running(WEB, tmp_path / "web.log", **few))
        web.await_status("/readyz", 200)
        gateway = Gateway(tmp_path / "gateway", here=f"http://127.0.0.1:{web.port}", other=wire.url)
        yield Stage(stack.enter_context(gateway), side, owner)


def crowd(stage: Stage, pool: ThreadPoolExecutor) -> list[Future[int]]:
    """More requests than may be held; returns when the others have been answered."""
    asked = [pool.submit(stage.ask) for _ in range(CROWD)]
    until(lambda: sum(answer.done() for answer in asked) >= CROWD - HELD, 60)
    return asked


def test_a_crowd_is_told_to_come_again_and_the_others_are_served(stage: Stage) -> None:
    stage.begin()
    with ThreadPoolExecutor(CROWD) as pool:
        asked = crowd(stage, pool)
        health = [stage.ask(b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\n") for _ in range(5)]
        still = sum(not answer.done() for answer in asked)
        stage.end()

        assert health == [200] * 5
        assert still == HELD
        assert Counter(answer.result(60) for answer in asked) == {201: HELD, 503: CROWD - HELD}


@pytest.mark.parametrize("kind", ["leaves", *SLOW])
def test_who_is_slow_or_leaves_takes_no_place_beyond_the_pause(stage: Stage, kind: str) -> None:
    stage.begin()
    with ThreadPoolExecutor(CROWD) as pool:
        with ExitStack() as clients:
            for _ in range(CROWD):
                client = clients.enter_context(stage.gateway.connect())
                client.sendall(SLOW.get(kind, HEAD + WHOLE))
                if kind == "leaves":
                    client.close()
            other = pool.submit(stage.ask)
            assert stage.ask(b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\n") == 200
            stage.end()
            assert other.result(60) in {201, 503}
            assert [stage.ask() for _ in range(5)] == [201] * 5
        stage.side.reopen()
        assert [stage.ask() for _ in range(5)] == [201] * 5

        # As many are held again as at first.
        stage.begin()
        asked = crowd(stage, pool)
        assert sum(not answer.done() for answer in asked) == HELD
        stage.end()
        assert Counter(answer.result(60) for answer in asked)[201] == HELD
