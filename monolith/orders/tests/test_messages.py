"""The messages that orders send, and what orders do with those that come."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

import pytest
from chassis.messages import inbox
from chassis.messages.events import Message
from chassis.testing.pump import Pump

from orders.models import ForgottenCustomer, Order, PaymentMethod
from orders.tests.test_checkout import place

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _contracts(settings):
    settings.CHASSIS_VALIDATE = True


@pytest.fixture
def pump() -> Pump:
    return Pump({})


def deleted(user_id: int) -> Message:
    return Message(
        id=uuid4(),
        type="users.user.deleted",
        source="/users",
        subject=str(user_id),
        time=datetime.now(UTC),
        version=2,
        data={"user_id": user_id},
        capability="users",
    )


class TestTelling:
    @pytest.mark.parametrize(
        ("wanted", "token", "type"),
        [(1, "tok_card", "confirmed"), (11, "tok_card", "rejected"), (1, "tok_declined", "rejected")],
    )
    def test_an_outcome_is_told_with_the_order_s_version(self, api, product, customer, pump, wanted, token, type):
        order = place(api, (product.pk, wanted), payment_token=token).json()
        pump.run()

        event = pump.events[-1]
        assert (event.type, event.subject, event.version) == (f"orders.order.{type}", str(order["id"]), 1)
        assert event.data == {
            "order_id": order["id"],
            "user_id": customer.pk,
            "total": order["total"],
            "currency": "USD",
            "status": type,
        }

    def test_a_cancellation_is_told_once(self, api, product, pump):
        order = place(api, (product.pk, 1)).json()["id"]
        for _ in range(2):
            api.post(f"/api/v1/orders/{order}/cancel")
        pump.run()

        told = [(event.type, event.version) for event in pump.events if event.type.startswith("orders.")]
        assert told == [("orders.order.confirmed", 1), ("orders.order.cancelled", 2)]

    def test_an_order_that_is_decided_here_sends_no_commands(self, api, product, pump):
        place(api, (product.pk, 1))
        pump.run()

        assert pump.handled == []


class TestForgetting:
    def test_who_was_deleted_elsewhere_is_forgotten_before_the_account_s_row_goes(self, api, customer, product):
        place(api, (product.pk, 1), payment_token="tok_card", save_payment_method=True)

        assert inbox.handle(deleted(customer.pk), "orders") == "handled"

        assert Order.objects.get().user is None
        assert not PaymentMethod.objects.exists()
        assert ForgottenCustomer.objects.get().orders == 1
        assert place(api, (product.pk, 1)).status_code == 401

    def test_who_was_deleted_here_is_counted_by_the_event(self, api, product, pump):
        place(api, (product.pk, 1))
        api.delete("/api/v1/users/me")
        pump.run()

        (event,) = (event for event in pump.events if event.type == "users.user.deleted")
        assert inbox.handle(event, "orders") == "handled"
        assert inbox.handle(event, "orders") == "duplicate"
        assert ForgottenCustomer.objects.get().pk == event.data["user_id"]
