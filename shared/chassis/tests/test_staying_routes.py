"""Requests to routes that stay, while a move exists: they have the transactions that the project gives them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from chassis.ownership.holding import Holding
from django.contrib.auth.signals import user_login_failed
from django.db import connection
from django.http import HttpResponse
from library import gate
from library.asking import asking
from library.gate import FAILED, TRIES
from library.models import Book, Visit
from library.side import Side
from library.urls import moment
from library.waiting import until

pytestmark = [
    pytest.mark.urls("library.gate"),
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("no_atomic_requests"),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="DATABASE_URL names no PostgreSQL"),
]
Ask = Callable[..., HttpResponse]


@pytest.fixture(autouse=True)
def middleware(settings: Any, holding: Holding) -> Iterator[None]:
    """The app of `library.gate` is installed, behind the fence."""
    settings.MIDDLEWARE = [
        *settings.MIDDLEWARE,
        "chassis.ownership.fence.FenceMiddleware",
        "library.gate.LockoutMiddleware",
    ]
    moment.passed, moment.planned = 0, None
    user_login_failed.connect(gate.note)
    yield
    user_login_failed.disconnect(gate.note)


@pytest.fixture
def ask() -> Iterator[Ask]:
    """Asks, and waits for the answer."""
    with asking() as begin:
        yield lambda *arguments: begin(*arguments).result(60)


def written() -> tuple[int, int]:
    return Visit.objects.count(), Book.objects.count()


@pytest.mark.parametrize("moving", [False, True], ids=["before a move", "in a move"])
@pytest.mark.parametrize("where", ["gate", "books"], ids=["a route that stays", "a route of the capability"])
def test_a_failed_login_leaves_the_row_that_an_app_writes_of_it(
    request: pytest.FixtureRequest, ask: Ask, moving: bool, where: str
) -> None:
    if moving:
        request.getfixturevalue("side")

    statuses = [ask(f"/{where}/login").status_code for _ in range(TRIES)]

    assert statuses == [403] * (TRIES - 1) + [429]
    assert Visit.objects.filter(note=FAILED).count() == TRIES


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_only_the_routes_of_the_capability_have_a_transaction_of_the_middleware_s(
    side: Side, ask: Ask, method: str
) -> None:
    assert ask("/gate/blocks", method).content == b"False"
    assert ask("/books/blocks", method).content == b"True"


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_without_a_move_no_route_has_one(ask: Ask, method: str) -> None:
    assert ask("/books/blocks", method).content == b"False"


def test_a_view_that_opens_its_own_transaction_waits_for_the_owner_and_runs_again(
    side: Side, ask: Ask, holding: Holding
) -> None:
    moment.planned = side.fence
    with ThreadPoolExecutor(1) as lifting:

        def reopen() -> None:
            until(lambda: holding._waiting == 1)
            side.reopen()

        lifted = lifting.submit(reopen)
        answer = ask("/gate/whole")
        lifted.result(60)

    assert answer.status_code == 201
    assert moment.passed == 2
    assert written() == (1, 1)


@pytest.mark.parametrize("path", ["/gate/in-parts", "/gate/in-parts-and-silent"])
def test_a_view_that_has_committed_a_part_is_not_run_again_and_says_so(side: Side, ask: Ask, path: str) -> None:
    moment.planned = side.fence

    answer = ask(path)

    assert answer.status_code == 503
    assert "Retry-After" not in answer
    assert "only a part of the request was done" in answer.json()["detail"]
    assert moment.passed == 1
    assert written() == (1, 0)


@pytest.mark.parametrize("path", ["/books/in-parts", "/books/in-parts-and-silent"])
def test_the_same_view_on_a_route_of_the_capability_leaves_nothing_and_is_sent_on(
    side: Side, ask: Ask, path: str
) -> None:
    moment.planned = side.hand_over

    answer = ask(path)

    assert (answer.status_code, answer["x-strangler-to"]) == (307, "service")
    assert written() == (0, 0)
