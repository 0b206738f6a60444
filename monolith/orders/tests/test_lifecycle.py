"""What becomes of an order after it was placed."""

from __future__ import annotations

from datetime import timedelta
from unittest.mock import Mock

import pytest
from conftest import client_of, new_user
from django.core import mail
from django.db import connection
from django.test.utils import CaptureQueriesContext
from products.models import Product
from users import services as users

from orders import services, tasks
from orders.models import Line, Order, Payment, PaymentMethod, Shipment, Status
from orders.tests.test_checkout import place, stock


@pytest.fixture
def confirmed(api, product) -> Order:
    return Order.objects.get(pk=place(api, (product.pk, 3)).json()["id"])


@pytest.fixture
def unpaid(api, product) -> Order:
    return Order.objects.get(pk=place(api, (product.pk, 3), payment_token="tok_transfer").json()["id"])


def age(order, **span):
    past = order.created_at - timedelta(**span)
    Order.objects.filter(pk=order.pk).update(created_at=past, updated_at=past)


class TestReading:
    def test_customers_see_their_own_orders_newest_first(self, api, product):
        placed = [place(api, (product.pk, 1)).json() for _ in range(3)]
        place(client_of(new_user()), (product.pk, 1))

        assert api.get("/api/v1/orders").json()["results"] == placed[::-1]

    def test_lines_stay_in_the_order_they_were_asked_for_in(self, api, new_product):
        products = [new_product(stock=10) for _ in range(3)]
        placed = place(api, *((product.pk, 1) for product in products[::-1])).json()
        Line.objects.filter(order_id=placed["id"], product=products[2]).update(name="written to since")

        lines = api.get(f"/api/v1/orders/{placed['id']}").json()["lines"]

        assert [line["product_id"] for line in lines] == [product.pk for product in products[::-1]]

    def test_somebody_elses_order_is_404(self, confirmed):
        stranger = client_of(new_user())

        assert stranger.get(f"/api/v1/orders/{confirmed.pk}").status_code == 404
        assert stranger.post(f"/api/v1/orders/{confirmed.pk}/cancel").status_code == 404
        confirmed.refresh_from_db()
        assert confirmed.status == Status.CONFIRMED

    def test_a_page_is_two_queries_however_long_it_is(self, api, new_product):
        product = new_product(stock=100)
        for _ in range(10):
            place(api, (product.pk, 1), (product.pk, 1))

        with CaptureQueriesContext(connection) as queries:
            answer = api.get("/api/v1/orders")

        assert len(answer.json()["results"]) == 10
        assert len([query for query in queries if "orders_" in query["sql"]]) == 2


class TestCancelling:
    @pytest.mark.parametrize("order", ["confirmed", "unpaid"])
    def test_stock_and_money_go_back(self, api, product, request, order):
        order = request.getfixturevalue(order)

        answer = api.post(f"/api/v1/orders/{order.pk}/cancel")

        assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
        assert stock(product) == 10
        assert order.payments.get().state == Payment.State.RETURNED

    def test_again_is_no_error_and_gives_nothing_twice(self, api, product, confirmed):
        for _ in range(2):
            assert api.post(f"/api/v1/orders/{confirmed.pk}/cancel").status_code == 200

        assert stock(product) == 10

    @pytest.mark.parametrize("status", [Status.SHIPPED, Status.REJECTED])
    def test_what_is_over_cannot_be_cancelled(self, api, confirmed, status):
        Order.objects.update(status=status)

        answer = api.post(f"/api/v1/orders/{confirmed.pk}/cancel")

        assert answer.status_code == 409
        assert status.value in answer.json()["detail"]

    def test_a_product_that_is_gone_does_not_stand_in_the_way(self, api, confirmed):
        Product.objects.all().delete()

        assert api.get(f"/api/v1/orders/{confirmed.pk}").json()["lines"][0]["product_id"] is None
        assert api.post(f"/api/v1/orders/{confirmed.pk}/cancel").status_code == 200


class TestTasks:
    def test_a_confirmed_order_is_mailed_once(self, confirmed, customer):
        for _ in range(2):
            tasks.send_confirmations()

        (message,) = mail.outbox
        assert message.to == [customer.email]
        assert "3 x Whole Milk" in message.body
        assert "7.50 USD" in message.body

    def test_a_mail_that_fails_is_sent_next_time(self, confirmed, monkeypatch):
        with monkeypatch.context() as patch:
            patch.setattr(tasks, "send_mail", Mock(side_effect=OSError("no route")))
            with pytest.raises(OSError, match="no route"):
                tasks.send_confirmations()

        tasks.send_confirmations()

        assert len(mail.outbox) == 1

    def test_whoever_has_left_is_not_written_to(self, confirmed, customer):
        users.delete(user=customer)

        tasks.send_confirmations()

        assert mail.outbox == []

    def test_an_unpaid_order_expires_and_gives_its_stock_back(self, product, unpaid):
        age(unpaid, minutes=31)

        tasks.expire_unpaid_orders()

        unpaid.refresh_from_db()
        assert unpaid.status == Status.CANCELLED
        assert stock(product) == 10

    def test_an_order_that_is_still_young_or_paid_does_not_expire(self, unpaid, confirmed):
        age(confirmed, minutes=31)

        tasks.expire_unpaid_orders()

        assert set(Order.objects.values_list("status", flat=True)) == {Status.PENDING, Status.CONFIRMED}

    def test_money_that_comes_late_confirms_the_order(self, unpaid):
        services.confirm(order_id=unpaid.pk, note="transfer 4711")

        unpaid.refresh_from_db()
        assert unpaid.status == Status.CONFIRMED
        assert unpaid.payments.get().state == Payment.State.AUTHORIZED

    def test_a_confirmed_order_is_shipped_after_a_while(self, confirmed):
        tasks.ship_confirmed_orders()
        assert not Shipment.objects.exists()
        age(confirmed, hours=2)

        tasks.ship_confirmed_orders()

        confirmed.refresh_from_db()
        assert confirmed.status == Status.SHIPPED
        assert confirmed.shipment.tracking_number


def test_a_deleted_customer_leaves_the_orders_and_takes_the_payment_methods(api, product, customer):
    place(api, (product.pk, 1), payment_token="tok_card", save_payment_method=True)

    assert api.delete("/api/v1/users/me").status_code == 204

    assert Order.objects.get().user is None
    assert not PaymentMethod.objects.exists()


class TestAdmin:
    @pytest.fixture
    def admin(self, client, superuser):
        client.force_login(superuser)
        return client

    def test_pages_open(self, admin, confirmed, customer):
        for path in (
            "order/",
            f"order/?q={customer.email}",
            f"order/{confirmed.pk}/change/",
            "paymentmethod/",
        ):
            assert admin.get(f"/admin/orders/{path}").status_code == 200

    def test_actions_go_through_the_services(self, admin, product, confirmed):
        for _ in range(2):
            answer = admin.post("/admin/orders/order/", {"action": "cancel", "_selected_action": confirmed.pk})
            assert answer.status_code == 302

        assert stock(product) == 10
