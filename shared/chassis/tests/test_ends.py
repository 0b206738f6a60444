"""Threads that wait for the end of a saga, and those who tell of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from chassis.sagas import ends
from django.db import connection, transaction
from library.waiting import until

pytestmark = [
    pytest.mark.skipif(connection.vendor != "postgresql", reason="only PostgreSQL notifies"),
    pytest.mark.django_db(transaction=True),
]


@pytest.fixture(autouse=True)
def _ended() -> Iterator[None]:
    yield
    ends.hang_up()


@pytest.fixture
def over() -> threading.Event:
    return threading.Event()


@pytest.fixture
def waiting(over) -> Iterator[Future[bool]]:
    """Waits for the loan 7, and is heard once a session listens."""
    with ThreadPoolExecutor(1) as threads:
        yield threads.submit(ends.wait, "loan", "7", over.is_set, 30.0)
        over.set()


def listens() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT FROM pg_stat_activity WHERE query = %s", [f"LISTEN {ends.CHANNEL}"])
        return cursor.fetchone() is not None


def tell(kind: str, key: str) -> None:
    with transaction.atomic():
        ends.tell(kind, key)


def test_who_waits_hears_of_the_end(monkeypatch, over, waiting):
    monkeypatch.setattr(ends, "PATROL_SECONDS", 60.0)
    until(listens)

    over.set()
    tell("loan", "7")

    assert waiting.result(20)


def test_an_end_of_another_key_wakes_nobody(monkeypatch):
    here = ends.Ends()
    monkeypatch.setattr(here, "_listen", lambda: None)
    over = threading.Event()
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(here.wait, "loan 7", over.is_set, 30.0)
        until(lambda: here._waiting)
        (heard,) = here._waiting["loan 7"]

        here._wake("loan 8")
        assert not heard.is_set()

        over.set()
        here._wake("loan 7")
        assert waiting.result(20)


def test_nobody_is_told_of_a_transaction_that_is_rolled_back(monkeypatch, waiting):
    told = []
    monkeypatch.setattr(ends, "_notify", told.append)

    with transaction.atomic():
        ends.tell("loan", "7")
        transaction.set_rollback(True)

    assert told == []


def test_an_end_that_nobody_tells_of_is_seen(over, waiting):
    over.set()

    assert waiting.result(20)


def test_a_lost_session_is_replaced(monkeypatch, over, waiting):
    monkeypatch.setattr(ends, "LISTEN_SECONDS", 0.01)
    until(listens)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = %s", [f"LISTEN {ends.CHANNEL}"]
        )
    until(lambda: not listens())
    monkeypatch.setattr(ends, "PATROL_SECONDS", 60.0)

    until(listens)
    over.set()
    tell("loan", "7")

    assert waiting.result(20)


def test_who_has_waited_long_enough_goes_on():
    assert not ends.wait("loan", "7", lambda: False, 0.05)


def test_the_session_ends_when_nobody_waits_any_more(monkeypatch, over):
    monkeypatch.setattr(ends, "LISTEN_SECONDS", 0.01)
    monkeypatch.setattr(ends, "IDLE_SECONDS", 0.02)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(ends.wait, "loan", "7", over.is_set, 30.0)
        until(listens)
        over.set()
        assert waiting.result(20)

    until(lambda: not listens())
