"""Bodies that come slowly, that are too large, or that end too soon."""

from __future__ import annotations

import socket
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import pytest
from chassis.process import admission, body, patience, waiting
from chassis.process.admission import Admission, AdmissionMiddleware
from chassis.process.patience import PatientSocket, Slow
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory, override_settings
from library.programs import MIGRATE, WEB, Running, run
from library.waiting import until
from library.wire import Wire
from server_node import ServerNode

SLOW_SENDERS = 6


def head(length: str) -> bytes:
    return f"POST /books/upload HTTP/1.1\r\nHost: 127.0.0.1\r\n{length}\r\n\r\n".encode()


@pytest.fixture
def wire() -> Iterator[Wire]:
    with override_settings(MIDDLEWARE=["chassis.process.admission.AdmissionMiddleware"], ALLOWED_HOSTS=["*"]):
        served = Wire()
    with served:
        yield served


def test_senders_that_never_end_keep_nobody_from_work(server: ServerNode, tmp_path: Path) -> None:
    run(MIGRATE, DATABASE_URL=server.url)
    places = {"WEB_AT_WORK": "2", "WEB_THREADS": "8"}
    with Running(WEB, tmp_path / "web.log", DATABASE_URL=server.url, **places) as web, ExitStack() as senders:
        web.await_status("/readyz", 200)
        for _ in range(SLOW_SENDERS):
            sender = senders.enter_context(socket.create_connection(("127.0.0.1", web.port)))
            sender.sendall(head("Content-Length: 1000") + b"x")

        assert [web.post("/books").status_code for _ in range(20)] == [201] * 20


def test_a_request_takes_its_place_when_its_body_is_there(monkeypatch: pytest.MonkeyPatch, wire: Wire) -> None:
    monkeypatch.setattr(admission, "_process", Admission(1))
    with socket.create_connection(wire.address) as sender:
        sender.sendall(head("Content-Length: 10") + b"x")

        assert wire.send(head("Content-Length: 0"))[0].status == 404


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (head("Content-Length: 1001") + b"x" * 1001, 413),
        (head("Content-Length: 99999999999999999999"), 413),
        (head("Transfer-Encoding: chunked") + b"3e9\r\n" + b"x" * 1001 + b"\r\n0\r\n\r\n", 413),
        (head("Transfer-Encoding: chunked") + b"1\r\nx\r\n" * 1001 + b"0\r\n\r\n", 413),
        (head("Content-Length: 1000") + b"x" * 1000, 404),
        (head("Transfer-Encoding: chunked") + b"3e8\r\n" + b"x" * 1000 + b"\r\n0\r\n\r\n", 404),
    ],
)
def test_no_more_than_the_limit_is_taken(wire: Wire, settings: Any, raw: bytes, status: int) -> None:
    settings.CHASSIS_MAX_BODY = 1000

    assert wire.send(raw)[0].status == status


@pytest.mark.parametrize("raw", [
    head("Content-Length: 10") + b"x",
    head("Transfer-Encoding: chunked") + b"5\r\nx",
    head("Transfer-Encoding: chunked") + b"zz\r\n",
])  # fmt: skip
def test_a_body_that_ends_too_soon_reaches_no_view(wire: Wire, raw: bytes) -> None:
    assert wire.send(raw, end=True)[0].status == 400


def test_the_gateway_may_say_a_smaller_limit(wire: Wire, settings: Any) -> None:
    settings.CHASSIS_MAX_BODY = 1000
    chunk = b"64\r\n" + b"x" * 100 + b"\r\n"
    told = head("Transfer-Encoding: chunked\r\nX-Strangler-Max-Body: 150") + chunk

    assert wire.send(told + b"0\r\n\r\n")[0].status == 404
    assert wire.send(told + chunk + b"0\r\n\r\n")[0].status == 413


def test_a_limit_that_is_no_number_is_none(wire: Wire) -> None:
    assert wire.send(head(f"Content-Length: 1\r\nX-Strangler-Max-Body: {'9' * 5000}") + b"x")[0].status == 404


@pytest.mark.parametrize("framing", ["Transfer-Encoding: chunked", "Content-Length: 1000"])
def test_few_threads_wait_for_bodies_of_whatever_size(wire: Wire, settings: Any, framing: str) -> None:
    settings.CHASSIS_HOLD_LIMIT = 1
    with socket.create_connection(wire.address) as sender:
        sender.sendall(head(framing) + b"5\r\nx")
        until(lambda: waiting.process.count("bodies") == 1)

        with socket.create_connection(wire.address) as other:
            other.sendall(head(framing) + b"5\r\nx")
            answer = HTTPResponse(other)
            answer.begin()
            assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert wire.send(head("Transfer-Encoding: chunked") + b"0\r\n\r\n")[0].status == 404
        assert wire.send(head("Content-Length: 1") + b"x")[0].status == 404
    until(lambda: waiting.process.count("bodies") == 0)


def test_a_body_that_is_whole_in_time_is_taken_though_too_many_wait(
    wire: Wire, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "GRACE_SECONDS", 60.0)
    settings.CHASSIS_HOLD_LIMIT = 0
    with socket.create_connection(wire.address) as sender:
        sender.sendall(head("Content-Length: 2") + b"x")
        sender.sendall(b"x")
        answer = HTTPResponse(sender)
        answer.begin()

    assert answer.status == 404


def test_a_body_that_comes_too_slowly_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Trickle:
        def read(self, size: int) -> bytes:
            raise Slow

    request = RequestFactory().post("/books", b"{}", content_type="application/json")
    request.environ["wsgi.input"] = Trickle()

    assert AdmissionMiddleware(lambda _: HttpResponse())(request).status_code == 408


def test_what_was_read_before_is_read_again() -> None:
    request = RequestFactory().post("/books", b"{}", content_type="application/json")
    assert request.body == b"{}"

    kept = body.of(request)

    assert [kept.again(request).body for _ in range(2)] == [b"{}", b"{}"]


def test_a_stream_that_somebody_has_read_is_known_to_be_lost() -> None:
    request = RequestFactory().post("/books", b"{}", content_type="application/json")
    request.read(1)

    assert body.of(request).lost


def test_a_body_lives_as_long_as_its_answer() -> None:
    request = RequestFactory().post("/books", b"{}", content_type="application/json")

    def late(seen: HttpRequest) -> HttpResponse:
        return HttpResponse(seen.read(1))

    answer = AdmissionMiddleware(late)(request)
    assert request.read() == b"}"
    answer.close()
    with pytest.raises(ValueError, match="closed"):
        body.of(request).open()


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[PatientSocket, socket.socket]]:
    monkeypatch.setattr(patience, "PATIENCE_SECONDS", 0.3)
    monkeypatch.setattr(patience, "STALLED_SECONDS", 0.3)
    ours, theirs = socket.socketpair()
    with PatientSocket.around(ours) as patient, theirs:
        patient.begin()
        yield patient, theirs
    waiting.process.end()


def test_a_client_that_trickles_uses_patience_up(pair: tuple[PatientSocket, socket.socket]) -> None:
    patient, client = pair
    over = threading.Event()

    def trickle() -> None:
        while not over.wait(0.02):
            client.send(b"x")

    sender = threading.Thread(target=trickle)
    sender.start()
    try:
        with pytest.raises(Slow):
            deque(iter(lambda: patient.recv(100), b""), maxlen=0)
    finally:
        over.set()
        sender.join()


def test_what_the_application_does_meanwhile_does_not_count(pair: tuple[PatientSocket, socket.socket]) -> None:
    patient, client = pair
    client.sendall(b"xy")
    time.sleep(0.4)

    assert patient.recv(1) == b"x"
    assert patient.recv(1) == b"y"


def test_a_client_that_sends_quickly_may_send_for_long(
    pair: tuple[PatientSocket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "BYTES_PER_SECOND", 100)
    patient, client = pair
    for _ in range(8):
        late = threading.Timer(0.1, client.send, [b"x" * 100])
        late.start()
        assert patient.recv(100)
        late.join()


def test_a_reader_that_has_stopped_is_given_up(pair: tuple[PatientSocket, socket.socket]) -> None:
    patient, _ = pair

    with pytest.raises(Slow):
        patient.sendall(bytes(10_000_000))


def test_a_reader_that_reads_gets_all(pair: tuple[PatientSocket, socket.socket]) -> None:
    patient, client = pair
    got = bytearray()

    def read() -> None:
        while len(got) < 3_000_000:
            got.extend(client.recv(65536))

    reader = threading.Thread(target=read)
    reader.start()
    patient.sendall(b"x" * 3_000_000)
    reader.join(60)

    assert len(got) == 3_000_000
