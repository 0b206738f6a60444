"""Customers as their tokens describe them, and customers who have left."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from chassis.messages import inbox
from chassis.messages.events import Message
from django.db import connection, transaction

from orders import handlers, services
from orders.models import ForgottenCustomer, Order, PaymentMethod
from orders.tests.placing import cancel, place

MILK = 11


@pytest.fixture(autouse=True)
def _shelf(warehouse):
    warehouse.add(MILK, stock=10)


def deleted(user_id: int) -> Message:
    return Message(
        id=uuid4(), type="users.user.deleted", source="/users", subject=str(user_id), time=datetime.now(UTC),
        version=2, data={"user_id": user_id}, capability="users",
    )  # fmt: skip


@pytest.mark.django_db
class TestForgetting:
    @pytest.fixture
    def order(self, api, pump) -> int:
        order = place(api, (MILK, 1), payment_token="tok_card", save_payment_method=True).json()["id"]
        pump.run()
        return order

    def test_orders_stay_and_forget_the_customer_whose_payment_methods_go(self, customer, order):
        assert inbox.handle(deleted(customer.pk), "orders") == "handled"

        assert Order.objects.get().user_id is None
        assert not PaymentMethod.objects.exists()

    def test_it_is_counted_where_it_can_be_seen(self, customer, order, client):
        before = handlers.FORGOTTEN._value.get()

        inbox.handle(deleted(customer.pk), "orders")

        row = ForgottenCustomer.objects.get()
        assert (row.pk, row.orders) == (customer.pk, 1)
        assert handlers.FORGOTTEN._value.get() == before + 1
        assert "orders_customers_forgotten_total" in client.get("/metrics").content.decode()

    def test_told_again_by_another_message_the_first_count_stays(self, customer, order):
        for _ in range(2):
            inbox.handle(deleted(customer.pk), "orders")

        assert ForgottenCustomer.objects.get().orders == 1

    def test_a_token_that_outlives_the_account_opens_nothing(self, api, customer, order):
        inbox.handle(deleted(customer.pk), "orders")

        assert api.get("/api/v1/orders").status_code == 401
        assert api.get(f"/api/v1/orders/{order}").status_code == 401
        assert cancel(api, order).status_code == 401
        assert place(api, (MILK, 1)).status_code == 401

    def test_a_token_that_no_key_has_signed_opens_nothing(self, api):
        api.credentials(HTTP_AUTHORIZATION="Bearer a.b.c")

        assert api.get("/api/v1/orders").status_code == 401

    def test_an_order_that_is_placed_meanwhile_is_refused(self, api, customer, monkeypatch):
        # The check of the forgotten customers comes before this account is forgotten.
        def look_up_and_leave(*, user_id):
            services.forget_customer(user_id=user_id)
            return str

        monkeypatch.setattr("orders.customers.look_up_address", look_up_and_leave)

        assert place(api, (MILK, 1)).status_code == 401
        assert not Order.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_forgetting_waits_for_an_order_that_is_being_placed(customer):
    forgetting = threading.Thread(target=lambda: (services.forget_customer(user_id=customer.pk), connection.close()))
    offers = {MILK: services.Offer()}
    with transaction.atomic():
        services.open_order(
            user_id=customer.pk, key="k", digest="", wishes=[services.Wish(MILK, 1)], offers=offers, ship_to="",
            reservation="r",
        )  # fmt: skip
        forgetting.start()
        forgetting.join(0.3)
        assert forgetting.is_alive()
    forgetting.join(60)

    assert Order.objects.get().user_id is None
    assert ForgottenCustomer.objects.get().orders == 1
