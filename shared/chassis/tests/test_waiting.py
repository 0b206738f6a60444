"""Threads that only wait: how many may, and that the others are there for whoever does not."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from chassis.identity import hashing
from chassis.process import patience, waiting
from chassis.process.patience import PatientSocket, Slow
from chassis.process.waiting import Full, Kind, Waiting
from library.programs import MIGRATE, WEB, Running, run
from server_node import ServerNode

CLIENTS = 12  # more than the process has threads
POST = b"POST /books HTTP/1.1\r\nHost: 127.0.0.1\r\n"


class Thread:
    """Waits, where it may, until the test ends."""

    def __init__(self, places: Waiting, kind: Kind) -> None:
        self._go, self._decided = threading.Event(), threading.Event()
        self.waits = False
        self._thread = threading.Thread(target=self._run, args=(places, kind), daemon=True)
        self._thread.start()
        assert self._decided.wait(60)

    def end(self) -> None:
        self._go.set()
        self._thread.join(60)

    def _run(self, places: Waiting, kind: Kind) -> None:
        try:
            with places.one(kind):
                self.waits = True
                self._decided.set()
                self._go.wait(60)
        except Full:
            self._decided.set()


@pytest.fixture
def begin(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Kind, int], list[bool]]]:
    """So many threads of a process of eight; whether each may wait."""
    monkeypatch.setenv("WEB_THREADS", "8")
    places, threads = Waiting(), []

    def more(kind: Kind, count: int) -> list[bool]:
        new = [Thread(places, kind) for _ in range(count)]
        threads.extend(new)
        return [thread.waits for thread in new]

    yield more
    for thread in threads:
        thread.end()
    assert sum(places.count(kind) for kind in ("bodies", "owners", "peers")) == 0


def test_of_a_kind_half_of_the_threads_wait(begin: Callable[[Kind, int], list[bool]]) -> None:
    assert begin("bodies", 5) == [True] * 4 + [False]


def test_of_all_kinds_together_a_quarter_of_the_threads_remains(begin: Callable[[Kind, int], list[bool]]) -> None:
    assert begin("bodies", 4) == [True] * 4
    assert begin("owners", 4) == [True] * 2 + [False] * 2
    assert begin("peers", 1) == [False]


def test_a_thread_that_waits_for_two_things_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEB_THREADS", "2")
    places = Waiting()
    with places.one("owners"), places.one("peers"):
        assert (places.count("owners"), places.count("peers")) == (1, 0)

    assert places.count("owners") == 0


@pytest.mark.parametrize(("threads", "most"), [("1", 1), ("2", 1), ("3", 2), ("8", 6), ("32", 24)])
def test_all_who_wait_for_passwords_leave_threads_too(monkeypatch: pytest.MonkeyPatch, threads: str, most: int) -> None:
    monkeypatch.setenv("WEB_THREADS", threads)

    assert waiting.settings.wait_limit() == most
    assert hashing.settings.hashing_queue() <= max(1, int(threads) // 2)


def test_an_answer_that_stands_still_is_given_up_sooner_where_too_many_do(
    monkeypatch: pytest.MonkeyPatch, settings: object
) -> None:
    settings.CHASSIS_HOLD_LIMIT = 0  # type: ignore[attr-defined]
    monkeypatch.setattr(patience, "GRACE_SECONDS", 0.05)
    monkeypatch.setattr(patience, "STALLED_IN_NEED_SECONDS", 0.05)
    monkeypatch.setattr(patience, "STALLED_SECONDS", 10_000.0)
    ours, theirs = socket.socketpair()
    with PatientSocket.around(ours) as patient, theirs:
        patient.begin()
        with pytest.raises(Slow):
            patient.sendall(bytes(10_000_000))


SLOW = {
    "body": POST + b"Content-Length: 1000\r\n\r\nx",
    "large": POST + b"Content-Length: 2000000\r\n\r\nx",
    "chunks": POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nx",
    "continue": POST + b"Expect: 100-continue\r\nContent-Length: 1000\r\n\r\n",
    "headers": POST,
    "silent": b"",
    "pipelined": b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" + POST + b"Content-Length: 9\r\n\r\nx",
    "stays": b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
    "reader": b"GET /books/long HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "events": b"GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
}


def test_slow_clients_of_any_kind_and_of_all_together_keep_nobody(server: ServerNode, tmp_path: Path) -> None:
    run(MIGRATE, DATABASE_URL=server.url)
    few = {"WEB_AT_WORK": "2", "WEB_THREADS": "8"}
    with Running(WEB, tmp_path / "web.log", DATABASE_URL=server.url, **few) as web:
        web.await_status("/readyz", 200)
        answers = {}
        for kind, raw in SLOW.items():
            with ExitStack() as clients:
                _connect(clients, web.port, raw)
                answers[kind] = _posts(web)
        with ExitStack() as clients:
            for raw in SLOW.values():
                _connect(clients, web.port, raw)
            answers["all"] = _posts(web)

        assert answers == dict.fromkeys([*SLOW, "all"], [201] * 10)


def _connect(clients: ExitStack, port: int, raw: bytes) -> None:
    for _ in range(CLIENTS):
        client = clients.enter_context(socket.socket())
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", port))
        client.sendall(raw)


def _posts(web: Running) -> list[int]:
    """What becomes of those who are not slow, each in a time that the slow ones would outlast."""
    return [_status(web) for _ in range(10)]


def _status(web: Running) -> int:
    with socket.create_connection(("127.0.0.1", web.port), 15) as client:
        client.sendall(POST + b"Connection: close\r\nContent-Length: 2\r\n\r\n{}")
        try:
            return int(client.recv(4096).split()[1])
        except TimeoutError:
            return 0
