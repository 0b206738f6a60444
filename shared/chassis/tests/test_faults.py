"""Faults are obeyed where the environment allows it, as long as the server runs that ran when they were switched on."""

from __future__ import annotations

import json
import time
from contextlib import nullcontext

import pytest
from chassis.process import faults
from chassis.process.measuring import UNROUTED
from django.db import connection
from django.http import HttpResponse
from django.test.utils import CaptureQueriesContext
from prometheus_client import REGISTRY
from strangler.adapters.postgres import faults as tool

postgresql = pytest.mark.skipif(connection.vendor != "postgresql", reason="the tool writes into PostgreSQL")
pytestmark = [postgresql, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def switch(monkeypatch):
    """Switches a fault on as the tool does; afterwards none is on."""
    monkeypatch.setenv("STRANGLER_FAULTS", "1")
    faults.forget()

    def on(name: str, **settings) -> None:
        with connection.cursor() as cursor:
            cursor.execute(tool.MAKE)
            cursor.execute(tool.WRITE, [name, json.dumps(settings)])
        faults.forget()

    yield on
    with connection.cursor() as cursor:
        cursor.execute("DROP SCHEMA IF EXISTS strangler_faults CASCADE")
    faults.forget()


def test_without_the_variable_nothing_is_obeyed_and_nobody_is_asked(switch, monkeypatch):
    switch("errors", percent=100)
    monkeypatch.setenv("STRANGLER_FAULTS", "true")
    faults.forget()
    connection.close()

    assert not faults.fails()
    assert connection.connection is None


def test_where_no_fault_was_ever_on_nothing_happens(switch):
    assert not faults.fails()
    assert not faults.is_full("books")
    faults.raise_for("books", {"book": 7})


def test_a_fault_of_an_earlier_run_of_the_server_is_forgotten(switch):
    switch("errors", percent=100)
    assert faults.fails()

    with connection.cursor() as cursor:
        cursor.execute("UPDATE strangler_faults.fault SET server_started = server_started - interval '1 second'")
    faults.forget()

    assert not faults.fails()


@pytest.mark.parametrize(("percent", "of_hundred"), [(5, 5), (50, 50), (100, 100), (0.5, 0)])
def test_the_share_of_requests_that_fail_is_kept_exactly(switch, percent, of_hundred):
    switch("errors", percent=percent)

    assert sum(faults.fails() for _ in range(100)) == of_hundred


def test_looking_costs_an_application_no_query_of_its_own(switch):
    switch("errors", percent=5)

    with CaptureQueriesContext(connection) as queries:
        faults.fails()

    assert len(queries) == 0


@pytest.mark.parametrize(
    ("capability", "data", "raises"),
    [
        ("books", {"book": 7}, True),
        ("books", {"lines": [{"book": 3}, {"book": 7}]}, True),
        ("books", {"book": 8}, False),
        ("books", {"shelf": 7}, False),
        ("shelves", {"book": 7}, False),
        ("books", "book=7", False),
    ],
)
def test_a_handler_raises_for_what_the_message_holds(switch, capability, data, raises):
    switch("raising-handler", capability="books", field="book", value="7")

    with pytest.raises(faults.InjectedError, match="book=7") if raises else nullcontext():
        faults.raise_for(capability, data)


def test_only_the_call_that_was_named_is_slow(switch, monkeypatch):
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    switch("slow-call", call="bank", milliseconds=1500)

    faults.slow("printer")
    faults.slow("bank")

    assert slept == [1.5]


def test_only_the_queue_that_was_named_is_full(switch):
    switch("full-queue", capability="books")

    assert (faults.is_full("books"), faults.is_full("shelves")) == (True, False)


def test_a_request_that_fails_has_not_reached_its_view(switch, rf):
    from chassis.ownership.fence import FenceMiddleware

    reached = []

    def view(request):
        reached.append(request)
        return HttpResponse()

    switch("errors", percent=100)
    answer = FenceMiddleware(view)(rf.get("/books"))

    assert answer.status_code == 500
    assert "strangler fault off errors" in json.loads(answer.content)["detail"]
    assert not reached


def test_a_database_that_is_away_has_no_faults(switch, monkeypatch):
    switch("errors", percent=100)
    connection.close()

    with monkeypatch.context() as away:
        away.setitem(connection.settings_dict, "PORT", "1")
        assert not faults.fails()


def test_a_request_that_fails_counts_for_the_capability_whose_it_is(switch, side, rf):
    from chassis.ownership.fence import FenceMiddleware
    from chassis.servers.health import HealthMiddleware

    labels = {"capability": "books", "side": "monolith", "method": "POST", "status": "500"}
    where = {**labels, "route": UNROUTED}
    before = REGISTRY.get_sample_value("chassis_http_requests_total", where) or 0
    switch("errors", percent=100)

    HealthMiddleware(FenceMiddleware(lambda request: HttpResponse()))(rf.post("/books"))

    assert REGISTRY.get_sample_value("chassis_http_requests_total", where) == before + 1
