"""A request waits for the outcome only so long, and holds nothing meanwhile."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier, Event, Thread

import pytest
from chassis.sagas import ends
from conftest import client_of, new_customer
from django.db import connection, connections
from django.urls import resolve

from orders import sagas
from orders.api import _wait
from orders.models import Order
from orders.tests.placing import cancel, place

MILK = 11

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _shelf(warehouse):
    warehouse.add(MILK, stock=5)


@contextmanager
def others_at_work(pump):
    """The other services do their part, in a thread of their own."""
    stop = Event()

    def work():
        try:
            while not stop.is_set():
                pump.run()
                stop.wait(0.01)
        finally:
            connections.close_all()

    thread = Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def at_once(act, arguments):
    barrier = Barrier(len(arguments))

    def run(argument):
        try:
            barrier.wait(timeout=10)
            return act(argument)
        finally:
            connection.close()

    with ThreadPoolExecutor(len(arguments)) as pool:
        return list(pool.map(run, arguments))


def test_the_answer_has_the_outcome_when_it_comes_in_time(api, pump):
    with others_at_work(pump):
        assert place(api, (MILK, 1), wait=10).json()["status"] == "confirmed"
        assert place(api, (MILK, 10), wait=10).json()["status"] == "rejected"
        assert place(api, (MILK, 1), wait=10, payment_token="tok_transfer").json()["status"] == "pending"


def test_without_an_outcome_the_order_is_answered_as_pending_when_the_time_is_over(api):
    begun = time.monotonic()

    answer = place(api, (MILK, 1), wait=1)

    assert (answer.status_code, answer.json()["status"]) == (201, "pending")
    assert 1 <= time.monotonic() - begun < 5  # 5 s is how long it would wait by default


def test_no_transaction_is_open_while_it_waits(api, monkeypatch):
    seen = []
    deciding = sagas.Checkout.deciding
    monkeypatch.setattr(
        sagas.Checkout, "deciding", lambda key: seen.append(connection.in_atomic_block) or deciding(key)
    )

    place(api, (MILK, 1), wait=1)

    assert len(seen) > 2
    assert set(seen) == {False}


def test_the_end_is_heard_and_not_only_seen_on_patrol(api, pump, monkeypatch):
    monkeypatch.setattr(ends, "PATROL_SECONDS", 60.0)

    with others_at_work(pump):
        outcomes = [place(api, (MILK, 1), wait=10).json()["status"] for _ in range(3)]

    assert outcomes == ["confirmed"] * 3


def test_an_end_that_nobody_tells_of_is_seen(api, pump, monkeypatch):
    monkeypatch.setattr(ends, "tell", lambda kind, key: None)

    with others_at_work(pump):
        assert place(api, (MILK, 1), wait=10).json()["status"] == "confirmed"


def test_a_session_that_listens_and_is_lost_costs_no_outcome(api, pump):
    with others_at_work(pump):
        for _ in range(3):
            assert place(api, (MILK, 1), wait=10).json()["status"] == "confirmed"
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN chassis_saga%'"
                )


def test_the_address_is_marked_as_one_that_manages_its_own_transactions():
    for path in ("/api/v1/orders", "/api/v1/orders/1/cancel"):
        assert "default" in resolve(path).func._non_atomic_requests


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        ("", 5), ("wait=0", 0), ("wait=7", 7), ("wait=99", 20), ("respond-async, wait=3", 3), ('wait="2"', 2),
        ("Wait = 4", 4), ("wait=", 5), ("wait=-1", 5), ("await=9", 5),
    ],
)  # fmt: skip
def test_the_caller_says_for_how_long(rf, prefer, seconds):
    assert _wait(rf.get("/", headers={"Prefer": prefer} if prefer else {})) == seconds


def test_a_cancellation_waits_for_the_outcome_first(api, pump, warehouse):
    order = place(api, (MILK, 1)).json()["id"]

    with others_at_work(pump):
        answer = cancel(api, order, wait=10)
    pump.run()

    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    assert warehouse.stock[MILK] == 5


def test_one_key_places_one_order_however_often_it_arrives(api, pump, warehouse):
    with others_at_work(pump):
        answers = at_once(lambda key: place(api, (MILK, 1), key=key, wait=10), ["k"] * 6)

    assert {answer.status_code for answer in answers} == {201}
    assert {answer.json()["status"] for answer in answers} == {"confirmed"}
    assert len({answer.json()["id"] for answer in answers}) == Order.objects.count() == 1
    assert warehouse.stock[MILK] == 4


def test_the_last_pieces_are_sold_once(neighbours, pump, warehouse):
    clients = [client_of(neighbours, new_customer()) for _ in range(8)]

    with others_at_work(pump):
        answers = at_once(lambda client: place(client, (MILK, 1), wait=10), clients)

    assert sorted(answer.json()["status"] for answer in answers) == ["confirmed"] * 5 + ["rejected"] * 3
    assert warehouse.stock[MILK] == 0
