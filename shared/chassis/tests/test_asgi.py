"""Requests under an ASGI server keep what they are promised: synchronous views, and asynchronous ones."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, get_args

import httpx
import pytest
from chassis.ownership.holding import Holding
from chassis.process import admission, waiting
from django.db import connection, connections
from library.asgi import Asgi
from library.models import Book, Visit
from library.peer import Peer
from library.sessions import sessions
from library.side import Side
from library.urls import moment
from library.waiting import until

pytestmark = [
    pytest.mark.urls("library.floor"),
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("no_atomic_requests"),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="DATABASE_URL names no PostgreSQL"),
]
HELD = 0.3  # seconds after which a request that has not been answered counts as held
Ask = Callable[..., "Future[httpx.Response]"]
SYNC, ASYNC = "/books", "/books/async/add"
BOTH = pytest.mark.parametrize("path", [SYNC, ASYNC], ids=["synchronous", "asynchronous"])


@pytest.fixture
def peer() -> Iterator[Peer]:
    with Peer() as found:
        yield found


@pytest.fixture
def side(side: Side, peer: Peer) -> Side:
    side.execute("UPDATE strangler.side SET peer_url = %s", peer.url)
    return side


@pytest.fixture(autouse=True)
def _nobody_is_left_waiting() -> Iterator[None]:
    yield
    until(lambda: not any(waiting.process.count(kind) for kind in get_args(waiting.Kind)))


@pytest.fixture
def server(settings: Any, holding: Holding, side: Side) -> Iterator[Asgi]:
    settings.MIDDLEWARE = [
        *settings.MIDDLEWARE,
        "chassis.process.admission.AdmissionMiddleware",
        "chassis.ownership.fence.FenceMiddleware",
    ]
    settings.ALLOWED_HOSTS = ["127.0.0.1"]
    moment.passed, moment.planned = 0, None
    with Asgi() as found:
        yield found


@pytest.fixture
def ask(server: Asgi) -> Iterator[Ask]:
    """Asks in threads; redirects are not followed."""
    with httpx.Client(base_url=server.url, timeout=60) as client, ThreadPoolExecutor(8) as pool:

        def send(path: str, body: bytes = b"{}", method: str = "POST", **headers: str) -> Future[httpx.Response]:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return pool.submit(client.request, method, path, content=body, headers=named)

        yield send


def written() -> tuple[int, int]:
    return Visit.objects.count(), Book.objects.count()


def assert_held(holding: Holding, *answers: Future[httpx.Response]) -> None:
    until(lambda: holding._waiting == len(answers))
    for answer in answers:
        with pytest.raises(TimeoutError):
            answer.result(HELD)


def assert_bounced(answer: httpx.Response, path: str) -> None:
    assert (answer.status_code, answer.headers.get("x-strangler-to")) == (307, "service"), answer.text
    assert answer.headers["location"].endswith(path)


@BOTH
def test_a_write_is_held_until_the_owner_is_known_and_sent_there(
    side: Side, ask: Ask, holding: Holding, path: str
) -> None:
    side.fence()

    answer = ask(f"{path}?shelf=%C3%A9|")
    assert_held(holding, answer)
    side.hand_over()

    assert_bounced(answer.result(60), f"{path}?shelf=%C3%A9|")
    assert moment.passed == 0


@pytest.mark.parametrize(
    "path", ["/books", "/books/swallow", "/books/async/add", "/books/async/swallow", "/books/async/together"]
)
def test_a_view_that_meets_the_fence_leaves_nothing_and_is_sent_on(
    side: Side, ask: Ask, holding: Holding, path: str
) -> None:
    moment.planned = side.fence

    answer = ask(path)
    assert_held(holding, answer)
    side.hand_over()

    assert_bounced(answer.result(60), path)
    assert written() == (0, 0)


def test_an_asynchronous_connection_of_the_view_s_own_meets_the_fence_too(side: Side, ask: Ask) -> None:
    moment.planned = side.hand_over

    assert_bounced(ask("/books/async/driver").result(60), "/books/async/driver")
    assert written() == (0, 0)


@BOTH
@pytest.mark.parametrize("chunked", [False, True])
def test_a_view_runs_again_with_its_body_when_nothing_comes_of_the_fence(
    side: Side, ask: Ask, holding: Holding, path: str, chunked: bool
) -> None:
    moment.planned = side.fence
    body = b"x" * 100_000

    answer = ask(path, iter([body]) if chunked else body)
    assert_held(holding, answer)
    side.reopen()

    assert (answer.result(60).status_code, answer.result(60).json()) == (201, {"length": 100_000})
    assert moment.passed == 2
    assert written() == (1, 1)


@pytest.mark.parametrize(("path", "open"), [("/books/async/blocks", "True"), ("/gate/async/blocks", "False")])
def test_an_asynchronous_view_s_statements_are_in_the_request_s_transaction(ask: Ask, path: str, open: str) -> None:
    assert ask(path).result(60).text == open


def test_a_thread_of_the_view_s_own_commits_a_part_and_the_answer_says_so(side: Side, ask: Ask) -> None:
    moment.planned = side.hand_over

    answer = ask("/books/async/threads").result(60)

    assert answer.status_code == 503
    assert "only a part of the request was done" in answer.json()["detail"]
    assert written() == (1, 0)


def test_a_streamed_body_breaks_off_where_its_making_met_the_fence(side: Side, ask: Ask) -> None:
    assert ask("/books/async/stream").result(60).text == "begun and done"
    moment.planned = side.hand_over

    with pytest.raises(httpx.RemoteProtocolError):
        ask("/books/async/stream").result(60)


def test_a_body_that_cannot_be_repeated_is_forwarded_whole(side: Side, ask: Ask, peer: Peer, settings: Any) -> None:
    settings.CHASSIS_BOUNCE_LIMIT = 1000
    side.hand_over()
    body = bytes(range(256)) * 40

    answer = ask("/books/async/add?shelf=%C3%A9", body, authorization="Bearer x").result(60)

    [received] = peer.received
    assert (received.method, received.path, received.body) == ("POST", "/books/async/add?shelf=%C3%A9", body)
    assert received.headers["authorization"] == "Bearer x"
    assert (answer.status_code, answer.headers["x-answered-by"], answer.content) == (201, "the peer", b"done")


def test_a_body_above_the_limit_is_refused(ask: Ask, settings: Any) -> None:
    settings.CHASSIS_MAX_BODY = 1000

    assert [ask("/books", body).result(60).status_code for body in (b"x" * 2000, iter([b"x" * 2000]))] == [413, 413]


def test_no_more_than_so_many_work_at_a_time(ask: Ask, side: Side, holding: Holding, settings: Any) -> None:
    side.fence()
    held = [ask(path) for path in (SYNC, ASYNC) * 4]
    until(lambda: holding._waiting == len(held))  # held requests have given their places away
    side.reopen()

    assert [answer.result(60).status_code for answer in held] == [201] * 8
    assert written() == (8, 8)


def test_health_is_answered_while_requests_are_held(ask: Ask, side: Side, holding: Holding) -> None:
    side.fence()
    held = ask(ASYNC)
    until(lambda: holding._waiting == 1)

    assert [ask(path, b"", "GET").result(60).status_code for path in ("/healthz", "/readyz", "/metrics")] == [200] * 3
    side.reopen()
    assert held.result(60).status_code == 201


def test_nothing_fails_and_nothing_is_lost_while_the_owner_changes_again_and_again(side: Side, server: Asgi) -> None:
    statuses: Counter[int] = Counter()
    until_then = time.monotonic() + 60
    over = False

    def client(path: str) -> Counter[int]:
        seen: Counter[int] = Counter()
        with httpx.Client(base_url=server.url, timeout=60) as session:
            while not over:
                seen[session.post(path, content=b"{}").status_code] += 1
        return seen

    with ThreadPoolExecutor(6) as pool:
        clients = [pool.submit(client, path) for path in (SYNC, ASYNC) * 3]
        try:
            for _ in range(3):
                before = Book.objects.count()
                until(lambda before=before: Book.objects.count() > before + 10)
                side.pause()
                side.fence()
                side.hand_over()
                side.execute("UPDATE strangler.side SET bounce_to = NULL")
                side.reopen()
                assert time.monotonic() < until_then
        finally:
            over = True
        for each in clients:
            statuses += each.result(60)

    assert set(statuses) <= {201, 307}, statuses
    assert written() == (statuses[201], statuses[201])


def test_sessions_of_the_database_do_not_pile_up(server: Asgi, ask: Ask) -> None:
    before = sessions()

    assert {ask(SYNC).result(60).status_code for _ in range(20)} == {201}

    until(lambda: sessions() <= before + 8)
    connections.close_all()


@BOTH
@pytest.mark.parametrize("when", ["held", "at work"])
def test_a_client_that_leaves_takes_neither_a_place_nor_half_of_its_request_with_it(
    side: Side, server: Asgi, ask: Ask, holding: Holding, path: str, when: str
) -> None:
    left = threading.Event()
    moment.planned = None if when == "held" else lambda: left.wait(60)
    if when == "held":
        side.fence()
    places = admission._process._free

    for _ in range(places):
        with socket.create_connection(server.address, 60) as client:
            head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n\r\n"
            client.sendall(head.encode() + b"{}")
            until(lambda: holding._waiting if when == "held" else moment.passed)
    left.set()
    if when == "held":
        side.reopen()

    until(lambda: holding._waiting == 0 and admission._process._free == places)
    assert {ask(path).result(60).status_code for _ in range(places + 1)} == {201}
    visits, books = written()
    assert visits == books
