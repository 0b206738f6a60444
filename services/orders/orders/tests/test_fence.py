"""A request that meets the fence has left nothing behind, though the view opens its transactions itself."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from chassis.models import OutboxMessage
from chassis.ownership import owners
from django.db import connection

from orders import checkout, customers
from orders.models import Order, Saga
from orders.tests.placing import cancel, place

MILK = 11
SIDE_SQL = Path(__file__).resolve().parents[4] / "shared/strangler/src/strangler/adapters/postgres/side.sql"
ROUTES = [{"methods": [], "pattern": "/api/v1/orders.*"}]
TABLES = ["public.orders_order", "public.orders_saga"]

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def side(warehouse):
    """This database's side of the orders' move, in a session of its own."""
    warehouse.add(MILK, stock=10)
    there = connection.settings_dict
    with psycopg.connect(
        host=there["HOST"],
        port=there["PORT"],
        user=there["USER"],
        password=there["PASSWORD"],
        dbname=there["NAME"],
        autocommit=True,
    ) as session:
        session.execute(SIDE_SQL.read_bytes())
        for table in TABLES:
            _fence(session, table)
        session.execute(
            "INSERT INTO strangler.side (capability, side, epoch, open, routes, tables) "
            "VALUES ('orders', 'service', 1, true, %s, %s)",
            [json.dumps(ROUTES), TABLES],
        )
        session.execute("SELECT strangler.turn_fences('orders', true)")
        yield session
        session.execute("DROP SCHEMA strangler CASCADE")
        session.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid NOT IN (pg_backend_pid(), %s)",
            [connection.connection.info.backend_pid if connection.connection else 0],
        )
    owners._present.clear()


def _fence(session, table):
    for name, event, level in (
        ("strangler_fence", "INSERT OR UPDATE OR DELETE OR TRUNCATE", "STATEMENT"),
        ("strangler_replica_truncate", "TRUNCATE", "STATEMENT"),
        ("strangler_replica_fence", "INSERT OR UPDATE OR DELETE", "ROW"),
    ):
        session.execute(
            f"CREATE TRIGGER {name} BEFORE {event} ON {table} FOR EACH {level} "
            "EXECUTE FUNCTION strangler.refuse('orders', 'write')"
        )


def hand_over(side):
    """In a thread of its own: what the view's own thread commits would be the view's."""

    def turn():
        side.execute("SELECT strangler.close_side('orders', 1, 2)")
        side.execute("UPDATE strangler.side SET bounce_to = 'monolith'")

    with ThreadPoolExecutor(1) as thread:
        thread.submit(turn).result(60)


def test_placing_is_rolled_back_and_sent_on(api, side, monkeypatch):
    monkeypatch.setattr(customers, "address", lambda user_id: hand_over(side) or "")

    answer = place(api, (MILK, 1))

    assert (answer.status_code, answer["x-strangler-to"]) == (307, "monolith")
    assert not Order.objects.exists()
    assert not Saga.objects.exists()
    assert not OutboxMessage.objects.exists()


def test_a_cancellation_is_rolled_back_and_sent_on(api, side, pump, monkeypatch):
    order = place(api, (MILK, 1)).json()["id"]
    pump.run()
    monkeypatch.setattr(checkout, "await_outcome", lambda order_id, wait: hand_over(side))

    answer = cancel(api, order)

    assert (answer.status_code, answer["x-strangler-to"]) == (307, "monolith")
    assert Order.objects.get().status == "confirmed"
    assert not OutboxMessage.objects.exists()


def test_an_order_that_was_committed_before_the_fence_is_answered_here(api, side, monkeypatch):
    monkeypatch.setattr(checkout, "await_outcome", lambda order_id, wait: hand_over(side))

    answer = place(api, (MILK, 1))

    assert answer.status_code == 201
    assert Order.objects.get().pk == answer.json()["id"]
