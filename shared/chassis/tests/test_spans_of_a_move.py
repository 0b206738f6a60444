"""What a move does with a request is in the request's trace, with the capability and the epoch."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from chassis.ownership import owners
from chassis.ownership.holding import Holding
from django.db import connection, connections
from django.http import HttpResponse
from django.test import Client
from library.models import Book
from library.peer import Peer
from library.recorded import Recorded
from library.side import Side
from library.urls import moment
from library.waiting import until

pytestmark = [
    pytest.mark.urls("library.urls"),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="DATABASE_URL names no PostgreSQL"),
]
TRACE = "0af7651916cd43dd8448eb211c80319c"
SAMPLED = f"00-{TRACE}-b7ad6b7169203331-01"

Ask = Callable[..., "Future[HttpResponse]"]


@pytest.fixture
def peer() -> Iterator[Peer]:
    with Peer() as found:
        yield found


@pytest.fixture
def side(transactional_db: None, settings: Any, monkeypatch: pytest.MonkeyPatch, peer: Peer) -> Iterator[Side]:
    tracing, fence = "chassis.process.tracing.TraceMiddleware", "chassis.ownership.fence.FenceMiddleware"
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, tracing, fence]
    monkeypatch.setattr(owners, "_present", set())
    moment.passed, moment.planned = 0, None
    found = Side(peer.url)
    yield found
    found.remove()


@pytest.fixture
def ask(side: Side, holding: Holding, recorded: Recorded) -> Iterator[Ask]:
    client = Client(raise_request_exception=False, headers={"host": "library.example", "traceparent": SAMPLED})
    with ThreadPoolExecutor(4) as pool:

        def send(path: str, method: str = "POST", **headers: str) -> Future[HttpResponse]:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return pool.submit(_send, client, method, path, named)

        yield send


def _send(client: Client, method: str, path: str, headers: dict[str, str]) -> HttpResponse:
    try:
        return client.generic(method, path, b"{}", content_type="application/json", headers=headers)
    finally:
        connections.close_all()


def told(epoch: int, *, open: bool) -> dict[str, object]:
    return {
        "strangler.capability": "books",
        "strangler.epoch": epoch,
        "strangler.side": "monolith",
        "strangler.open": open,
    }


def test_a_request_to_a_capability_s_route_names_it(side: Side, ask: Ask, recorded: Recorded) -> None:
    assert ask("/books").result(60).status_code == 201

    span = recorded.one("POST /books")
    assert told(1, open=True).items() <= dict(span.attributes).items()


def test_a_request_that_is_held_and_bounced_says_so(side: Side, ask: Ask, recorded: Recorded, holding: Holding) -> None:
    side.fence()

    answer = ask("/books")
    until(lambda: holding._waiting == 1)
    side.hand_over()

    assert answer.result(60).status_code == 307
    held = recorded.one("strangler.held")
    assert told(2, open=False).items() <= dict(held.attributes).items()
    assert 0 < held.attributes["strangler.held_seconds"] <= (held.end_time - held.start_time) / 1e9 + 0.001
    # A bounce has no route: no view was looked for.
    assert recorded.parent_of(held) == "POST"
    assert recorded.events("strangler.bounced") == [{**told(2, open=False), "strangler.to": "service"}]


def test_a_request_that_is_run_again_says_why(side: Side, ask: Ask, recorded: Recorded, holding: Holding) -> None:
    moment.planned = side.fence

    answer = ask("/books")
    until(lambda: holding._waiting == 1)
    side.reopen()

    assert answer.result(60).status_code == 201
    (again,) = recorded.events("strangler.run_again")
    assert again.items() >= {"strangler.capability": "books", "strangler.run": 2, "strangler.reason": "fence"}.items()
    assert recorded.one("strangler.held").attributes["strangler.epoch"] == side.epoch
    assert Book.objects.count() == 1


def test_a_request_that_is_forwarded_is_a_call_in_the_same_trace(
    side: Side, ask: Ask, recorded: Recorded, peer: Peer
) -> None:
    side.hand_over()

    answer = ask("/books", x_strangler_to="monolith")

    assert answer.result(60).status_code == 201
    span = recorded.one("strangler.forwarded")
    assert span.kind.name == "CLIENT"
    assert {**told(2, open=False), "strangler.to": "service"}.items() <= dict(span.attributes).items()
    assert peer.received[0].headers["traceparent"] == f"00-{TRACE}-{span.context.span_id:016x}-01"


def test_a_request_that_nobody_answers_in_time_says_that_it_was_refused(
    side: Side, ask: Ask, recorded: Recorded, settings: Any
) -> None:
    settings.CHASSIS_HOLD_SECONDS = 0.05
    side.fence()

    assert ask("/visits").result(60).status_code == 503

    assert recorded.one("strangler.held").attributes["error.type"] == "TimeoutError"
    assert [event["strangler.reason"] for event in recorded.events("strangler.refused")] == ["time"]


def test_a_row_that_is_on_its_way_is_a_span_of_the_request(
    side: Side, ask: Ask, recorded: Recorded, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.CHASSIS_SEAM_WAIT = 0.05
    side.hand_over()

    with caplog.at_level(logging.CRITICAL):
        ask("/visits/7", "GET").result(60)

    assert recorded.named("strangler.awaited")[0].attributes["strangler.model"] == "library.Book"
