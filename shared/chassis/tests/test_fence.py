"""Requests that meet the fence, on PostgreSQL with the tool's own functions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from chassis.ownership import owners
from chassis.ownership.holding import Holding
from django.db import connection, connections
from django.http import HttpResponse
from django.test import Client
from library.models import Book, Visit
from library.peer import Peer
from library.side import Side
from library.urls import moment
from library.waiting import until

pytestmark = [
    pytest.mark.urls("library.urls"),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="DATABASE_URL names no PostgreSQL"),
]

HELD = 0.3  # seconds after which a request that has not been answered counts as held
Ask = Callable[..., "Future[HttpResponse]"]
AssertHeld = Callable[..., None]


@pytest.fixture
def peer() -> Iterator[Peer]:
    with Peer() as found:
        yield found


@pytest.fixture
def side(transactional_db: None, settings: Any, monkeypatch: pytest.MonkeyPatch, peer: Peer) -> Iterator[Side]:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "chassis.ownership.fence.FenceMiddleware"]
    settings.CHASSIS_HOLD_LIMIT = 8
    monkeypatch.setattr(owners, "_present", set())
    monkeypatch.setattr(owners, "_noted", {})
    moment.passed, moment.planned = 0, None
    found = Side(peer.url)
    yield found
    found.remove()


@pytest.fixture
def ask(side: Side, holding: Holding) -> Iterator[Ask]:
    """Sends requests in threads of their own, all through one middleware."""
    client = Client(raise_request_exception=False, headers={"host": "library.example"})
    with ThreadPoolExecutor(8) as pool:

        def send(path: str, body: bytes = b"{}", method: str = "POST", **headers: str) -> Future[HttpResponse]:
            return pool.submit(_send, client, method, path, body, headers)

        yield send


def _send(client: Client, method: str, path: str, body: bytes, headers: dict[str, str]) -> HttpResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        return client.generic(method, path, body, content_type="application/json", headers=named)
    finally:
        connections.close_all()


@pytest.fixture
def assert_held(holding: Holding) -> AssertHeld:
    """That these requests, and no others, have come to where they wait, and go on waiting."""

    def check(*answers: Future[HttpResponse]) -> None:
        until(lambda: holding._waiting == len(answers))
        for answer in answers:
            with pytest.raises(TimeoutError):
                answer.result(HELD)

    return check


def assert_bounced(answer: HttpResponse, path: str) -> None:
    assert answer.status_code == 307
    assert answer["Location"] == f"http://library.example{path}"
    assert answer["x-strangler-to"] == "service"
    assert answer["traceparent"].startswith("00-")


def assert_nothing_written() -> None:
    assert (Visit.objects.count(), Book.objects.count()) == (0, 0)


@pytest.mark.parametrize(
    ("path", "named", "status"),
    [
        ("/visits", {"books": "", "visits": ""}, 503),  # may be of the visits, which have never moved here
        ("/visits", {"books": ""}, 201),
        ("/visits", {}, 201),
        ("/books", {"books": "", "visits": ""}, 201),
    ],
)
def test_what_has_not_moved_takes_no_writes_though_another_capability_has(
    side: Side, settings: Any, ask: Ask, path: str, named: dict[str, str], status: int
) -> None:
    settings.CHASSIS_OPEN_WITHOUT_MOVE = False
    settings.CHASSIS_CONSUMES, settings.CHASSIS_INBOXES = {}, named

    assert ask(path).result(60).status_code == status
    assert Visit.objects.count() == (status == 201)


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("POST", {}, 503),
        ("PATCH", {}, 503),
        ("BREW", {}, 503),
        ("GET", {}, 404),
        ("GET", {"x-strangler-to": "service"}, 503),
    ],
)
def test_what_a_move_is_to_fill_takes_no_writes_before_it(
    transactional_db: None, settings: Any, client: Client, method: str, headers: dict[str, str], status: int
) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "chassis.ownership.fence.FenceMiddleware"]
    settings.CHASSIS_OPEN_WITHOUT_MOVE = False

    answer = client.generic(method, "/books/none", headers={"host": "library.example", **headers})

    assert answer.status_code == status
    assert Book.objects.count() == 0


def test_what_belongs_to_no_move_writes_without_one(transactional_db: None, settings: Any, client: Client) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "chassis.ownership.fence.FenceMiddleware"]

    assert client.post("/books", headers={"host": "library.example", "x-strangler-to": "monolith"}).status_code == 201


def test_an_open_side_answers_itself(side: Side, ask: Ask) -> None:
    answer = ask("/books").result()

    assert answer.status_code == 201
    assert (Visit.objects.count(), Book.objects.count()) == (1, 1)


def test_a_write_is_held_until_the_owner_is_known_and_sent_there(side: Side, ask: Ask, assert_held: AssertHeld) -> None:
    side.fence()

    answer = ask("/books?shelf=1")
    assert_held(answer)
    side.hand_over()

    assert_bounced(answer.result(), "/books?shelf=1")
    assert moment.passed == 0


def test_a_write_is_answered_here_when_nothing_comes_of_the_fence(
    side: Side, ask: Ask, assert_held: AssertHeld
) -> None:
    side.fence()

    answer = ask("/books")
    assert_held(answer)
    side.reopen()

    assert answer.result().status_code == 201
    assert (Visit.objects.count(), Book.objects.count()) == (1, 1)


@pytest.mark.parametrize("path", ["/books", "/books/swallow", "/books/commit-nothing", "/books/upload"])
def test_a_view_that_meets_the_fence_leaves_nothing_and_is_sent_on(
    side: Side, ask: Ask, assert_held: AssertHeld, path: str
) -> None:
    moment.planned = side.fence

    answer = ask(path)
    assert_held(answer)
    side.hand_over()

    assert_bounced(answer.result(), path)
    assert_nothing_written()


@pytest.mark.parametrize("path", ["/books", "/books/swallow", "/books/upload"])
def test_a_view_that_met_the_fence_runs_again_when_nothing_comes_of_it(
    side: Side, ask: Ask, assert_held: AssertHeld, path: str
) -> None:
    moment.planned = side.fence

    answer = ask(path, b'{"a": "body"}')
    assert_held(answer)
    side.reopen()

    assert answer.result().status_code == 201
    assert answer.result().content in {b"", b'{"length": 13}'}
    assert moment.passed == 2
    assert Book.objects.count() == 1


def test_a_view_that_has_committed_is_neither_sent_on_nor_run_again(side: Side, ask: Ask) -> None:
    moment.planned = lambda: (side.fence(), side.hand_over())

    answer = ask("/books/commit-first").result()

    assert answer.status_code >= 500
    assert moment.passed == 1
    assert (Visit.objects.count(), Book.objects.count()) == (1, 0)


def test_a_second_bounce_is_forwarded_with_the_body(side: Side, ask: Ask, peer: Peer) -> None:
    side.fence()
    side.hand_over()

    answer = ask("/books?shelf=2", b'{"a": "body"}', x_strangler_to="monolith", authorization="Bearer x").result()

    [received] = peer.received
    assert (received.method, received.path, received.body) == ("POST", "/books?shelf=2", b'{"a": "body"}')
    assert received.headers["authorization"] == "Bearer x"
    assert received.headers["x-strangler-to"] == "service"
    assert (answer.status_code, answer["X-Answered-By"], answer.content) == (201, "the peer", b"done")


def test_a_body_over_the_limit_is_forwarded(side: Side, ask: Ask, peer: Peer, settings: Any) -> None:
    settings.CHASSIS_BOUNCE_LIMIT = 1000
    settings.FILE_UPLOAD_MAX_MEMORY_SIZE = 5000
    side.fence()
    side.hand_over()
    body = bytes(range(256)) * 40

    answer = ask("/books", body).result()

    assert answer.status_code == 201
    assert [received.body for received in peer.received] == [body]


def test_what_has_been_forwarded_is_not_forwarded_again(side: Side, ask: Ask, peer: Peer) -> None:
    side.fence()
    side.hand_over()

    answer = ask("/books", x_strangler_to="monolith", x_strangler_forwarded="1").result()

    assert answer.status_code == 503
    assert answer["Retry-After"] == "1"
    assert peer.received == []


def test_a_peer_that_does_not_answer_is_a_bad_gateway(side: Side, ask: Ask, peer: Peer, settings: Any) -> None:
    settings.CHASSIS_BOUNCE_LIMIT = 1
    side.fence()
    side.hand_over()
    peer.stop()

    answer = ask("/books").result()

    assert answer.status_code == 502


def test_a_body_larger_than_django_takes_at_once_is_held_too(
    side: Side, ask: Ask, assert_held: AssertHeld, settings: Any
) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = settings.FILE_UPLOAD_MAX_MEMORY_SIZE = 1000
    moment.planned = side.fence

    answer = ask("/books/upload", b"x" * 100_000)
    assert_held(answer)
    side.reopen()

    assert answer.result().json() == {"length": 100_000}


def test_the_limit_of_django_stands(side: Side, ask: Ask, settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000

    answer = ask("/books", b"x" * 2000).result()

    assert answer.status_code == 400
    assert_nothing_written()


def test_no_more_than_the_limit_is_held(side: Side, ask: Ask, assert_held: AssertHeld, settings: Any) -> None:
    settings.CHASSIS_HOLD_LIMIT = 2
    side.fence()
    held = [ask("/books"), ask("/books")]
    assert_held(*held)

    over = ask("/books").result()
    bounced_over = ask("/books", x_strangler_to="monolith").result()
    side.reopen()

    assert_bounced(over, "/books")  # to where there are threads to hold it
    assert bounced_over.status_code == 503
    assert [each.result().status_code for each in held] == [201, 201]


def test_a_request_is_not_held_for_ever(side: Side, ask: Ask, settings: Any) -> None:
    settings.CHASSIS_HOLD_SECONDS = 0.2
    side.fence()

    answer = ask("/books").result()

    assert_bounced(answer, "/books")


def test_reads_are_answered_here_in_the_pause_and_follow_the_owner_after_it(side: Side, ask: Ask) -> None:
    side.fence()
    in_the_pause = ask("/books/none", method="GET").result()
    side.hand_over()
    after = ask("/books/none", method="GET").result()

    assert in_the_pause.status_code == 404
    assert_bounced(after, "/books/none")


def test_a_request_to_routes_that_another_side_has_is_noted(side: Side, ask: Ask) -> None:
    side.fence()
    side.hand_over()
    assert used() == []

    for _ in range(2):
        assert_bounced(ask("/books", method="GET").result(60), "/books")

    assert used() == ["books"]


def test_a_request_that_is_answered_here_is_not_noted(side: Side, ask: Ask) -> None:
    ask("/books", method="GET").result(60)

    assert used() == []


def test_a_tool_that_notes_no_use_keeps_no_request_from_its_owner(side: Side, ask: Ask) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP FUNCTION strangler.note_use(text)")
    side.fence()
    side.hand_over()

    assert_bounced(ask("/books", method="GET").result(60), "/books")


def used() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT capability FROM strangler.used")
        return [row[0] for row in cursor.fetchall()]


def test_a_view_that_belongs_elsewhere_waits_for_the_fence_and_runs_again(
    side: Side, ask: Ask, assert_held: AssertHeld
) -> None:
    moment.planned = side.fence

    answer = ask("/visits")
    assert_held(answer)
    side.reopen()

    assert answer.result().status_code == 201
    assert (Visit.objects.count(), Book.objects.count()) == (1, 1)


def test_a_view_that_writes_what_another_side_owns_gives_up(side: Side, ask: Ask) -> None:
    side.fence()
    side.hand_over()

    answer = ask("/visits").result()

    assert answer.status_code == 501
    assert_nothing_written()


def test_a_row_that_is_on_its_way_is_waited_for(side: Side, ask: Ask, peer: Peer, settings: Any) -> None:
    settings.CHASSIS_OWNER_PATHS = {"library.Book": "/books/mine"}
    peer.status = 200
    side.fence()
    side.hand_over()

    answer = ask("/visits/7", method="GET", authorization="Bearer x")
    until(lambda: peer.received)  # the owner has been asked, for the row is not here
    with pytest.raises(TimeoutError):
        answer.result(HELD)
    side.arrive("INSERT INTO library_book (id, title) VALUES (%s, %s)", 7, "Persuasion")

    assert answer.result().json() == {"title": "Persuasion"}
    assert [(received.path, received.headers["authorization"]) for received in peer.received] == [
        ("/books/mine", "Bearer x")
    ]


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_row_that_its_owner_does_not_have_is_not_waited_for(
    side: Side, ask: Ask, peer: Peer, settings: Any, status: int
) -> None:
    settings.CHASSIS_OWNER_PATHS = {"library.Book": "/books/mine"}
    peer.status = status
    side.fence()
    side.hand_over()

    answer = ask("/visits/7", method="GET").result()

    assert answer.status_code == 404
    assert len(peer.received) == 1


def test_a_row_that_never_arrives_is_answered_with_a_request_to_try_again(side: Side, ask: Ask, settings: Any) -> None:
    settings.CHASSIS_SEAM_WAIT = 0.1
    side.fence()
    side.hand_over()

    answer = ask("/visits/7", method="GET").result()

    assert answer.status_code == 503


def test_a_row_that_is_missing_where_it_is_owned_is_missing(side: Side, ask: Ask) -> None:
    answer = ask("/visits/7", method="GET").result()

    assert answer.status_code == 404
