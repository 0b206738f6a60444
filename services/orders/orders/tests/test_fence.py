"""A request that meets the fence leaves nothing behind, even if the view opens its transactions itself."""

from __future__ import annotations

import pytest
from chassis.models import OutboxMessage
from chassis.testing.sides import Side

from orders import checkout, customers
from orders.models import Order, Saga
from orders.tests.placing import cancel, place

MILK = 11
TABLES = ["public.orders_order", "public.orders_saga"]

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def side(warehouse):
    """This database's side of the orders' move."""
    warehouse.add(MILK, stock=10)
    with Side("orders", tables=TABLES, routes=[("", "/api/v1/orders.*")], side="service") as side:
        yield side


def test_placing_is_rolled_back_and_sent_on(api, side, monkeypatch):
    monkeypatch.setattr(customers, "address", lambda user_id: side.hand_over() or "")

    answer = place(api, (MILK, 1))

    assert (answer.status_code, answer["x-strangler-to"]) == (307, "monolith")
    assert not Order.objects.exists()
    assert not Saga.objects.exists()
    assert not OutboxMessage.objects.exists()


def test_a_cancellation_is_rolled_back_and_sent_on(api, side, pump, monkeypatch):
    order = place(api, (MILK, 1)).json()["id"]
    pump.run()
    monkeypatch.setattr(checkout, "await_outcome", lambda order_id, wait: side.hand_over())

    answer = cancel(api, order)

    assert (answer.status_code, answer["x-strangler-to"]) == (307, "monolith")
    assert Order.objects.get().status == "confirmed"
    assert not OutboxMessage.objects.exists()


def test_an_order_that_was_committed_before_the_fence_is_answered_here(api, side, monkeypatch):
    monkeypatch.setattr(checkout, "await_outcome", lambda order_id, wait: side.hand_over())

    answer = place(api, (MILK, 1))

    assert answer.status_code == 201
    assert Order.objects.get().pk == answer.json()["id"]
