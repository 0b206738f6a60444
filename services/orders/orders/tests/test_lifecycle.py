"""What becomes of an order after it was decided."""

from __future__ import annotations

from datetime import timedelta
from unittest.mock import Mock

import pytest
from conftest import client_of, new_customer
from django.contrib.auth import get_user_model
from django.core import mail
from django.db import connection
from django.test.utils import CaptureQueriesContext

from orders import checkout, services, tasks
from orders.models import Line, Order, Payment, PaymentMethod, Saga, Shipment, Status
from orders.tests.placing import cancel, look, place

MILK = 11

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _known(warehouse, neighbours, customer):
    warehouse.add(MILK, stock=10)
    neighbours.users[customer.pk] = {
        "id": customer.pk, "email": "ada@example.com", "full_name": "Ada Example", "is_active": True, "address": "",
    }  # fmt: skip


@pytest.fixture
def confirmed(api, pump) -> Order:
    return decided(api, pump)


@pytest.fixture
def unpaid(api, pump) -> Order:
    return decided(api, pump, payment_token="tok_transfer")


def decided(api, pump, **more) -> Order:
    pk = place(api, (MILK, 3), **more).json()["id"]
    pump.run()
    return Order.objects.get(pk=pk)


def age(order, **span):
    past = order.created_at - timedelta(**span)
    Order.objects.filter(pk=order.pk).update(created_at=past, updated_at=past)


class TestReading:
    def test_customers_see_their_own_orders_newest_first(self, api, neighbours):
        placed = [place(api, (MILK, 1)).json() for _ in range(3)]
        place(client_of(neighbours, new_customer()), (MILK, 1))

        assert api.get("/api/v1/orders").json()["results"] == placed[::-1]

    def test_lines_stay_in_the_order_they_were_asked_for_in(self, api, warehouse):
        for product in (12, 13):
            warehouse.add(product, stock=10)
        placed = place(api, (13, 1), (12, 1), (MILK, 1)).json()
        Line.objects.filter(order_id=placed["id"], product_id=13).update(name="written to since")

        lines = look(api, placed["id"])["lines"]

        assert [line["product_id"] for line in lines] == [13, 12, MILK]

    def test_somebody_elses_order_is_404(self, neighbours, confirmed):
        stranger = client_of(neighbours, new_customer())

        assert stranger.get(f"/api/v1/orders/{confirmed.pk}").status_code == 404
        assert cancel(stranger, confirmed.pk).status_code == 404
        confirmed.refresh_from_db()
        assert confirmed.status == Status.CONFIRMED

    def test_a_page_costs_the_same_however_long_it_is(self, api):
        for _ in range(10):
            place(api, (MILK, 1), (MILK, 1))

        with CaptureQueriesContext(connection) as queries:
            answer = api.get("/api/v1/orders")

        assert len(answer.json()["results"]) == 10
        assert len([query for query in queries if 'FROM "orders_' in query["sql"]]) == 3, "orders, lines, forgotten"


class TestCancelling:
    @pytest.mark.parametrize("order", ["confirmed", "unpaid"])
    def test_stock_and_money_go_back(self, api, pump, warehouse, request, order):
        order = request.getfixturevalue(order)

        answer = cancel(api, order.pk)
        pump.run()

        assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
        assert warehouse.stock[MILK] == 10
        assert order.payments.get().state == Payment.State.RETURNED

    @pytest.mark.parametrize("status", [Status.SHIPPED, Status.REJECTED])
    def test_what_is_over_cannot_be_cancelled(self, api, confirmed, status):
        Order.objects.update(status=status)

        answer = cancel(api, confirmed.pk)

        assert answer.status_code == 409
        assert status.value in answer.json()["detail"]

    def test_an_order_from_before_there_were_reservations_gives_its_lines_back(self, api, pump, warehouse, confirmed):
        Order.objects.update(reservation=None)
        warehouse.reservations.clear()

        cancel(api, confirmed.pk)
        pump.run()

        assert warehouse.received[-1].data["lines"] == [{"product_id": MILK, "quantity": 3}]
        assert warehouse.stock[MILK] == 10


class TestConfirmations:
    def test_a_confirmed_order_is_mailed_once(self, confirmed):
        for _ in range(2):
            tasks.send_confirmations()

        (message,) = mail.outbox
        assert message.to == ["ada@example.com"]
        assert "Dear Ada Example" in message.body
        assert "3 x Whole Milk" in message.body
        assert "7.50 USD" in message.body

    def test_a_mail_that_fails_is_sent_next_time(self, confirmed, monkeypatch):
        with monkeypatch.context() as patch:
            patch.setattr(tasks, "send_mail", Mock(side_effect=OSError("no route")))
            with pytest.raises(OSError, match="no route"):
                tasks.send_confirmations()

        tasks.send_confirmations()

        assert len(mail.outbox) == 1

    def test_while_users_do_not_answer_nothing_is_sent_and_nothing_forgotten(self, confirmed, neighbours):
        neighbours.silent.add("users")
        tasks.send_confirmations()
        assert mail.outbox == []
        neighbours.silent.clear()

        tasks.send_confirmations()

        assert len(mail.outbox) == 1

    def test_an_account_that_is_gone_is_not_written_to_and_not_asked_for_again(self, confirmed, neighbours):
        neighbours.users.clear()

        tasks.send_confirmations()

        confirmed.refresh_from_db()
        assert mail.outbox == []
        assert confirmed.confirmation_sent_at

    def test_whoever_has_left_is_not_written_to(self, confirmed, customer):
        services.forget_customer(user_id=customer.pk)

        tasks.send_confirmations()

        assert mail.outbox == []

    def test_where_orders_are_owned_elsewhere_the_task_rests(self, confirmed, monkeypatch):
        monkeypatch.setattr("chassis.ownership.owners.is_open", lambda capability: False)

        tasks.send_confirmations()

        assert mail.outbox == []


class TestExpiring:
    def test_an_unpaid_order_expires_and_gives_its_stock_back(self, pump, warehouse, unpaid):
        age(unpaid, minutes=31)

        tasks.expire_unpaid_orders()
        pump.run()

        unpaid.refresh_from_db()
        assert unpaid.status == Status.CANCELLED
        assert warehouse.stock[MILK] == 10

    def test_an_order_that_is_young_or_paid_or_undecided_does_not_expire(self, api, unpaid, confirmed):
        undecided = Order.objects.get(pk=place(api, (MILK, 1)).json()["id"])
        for order in (confirmed, undecided):
            age(order, minutes=31)

        tasks.expire_unpaid_orders()

        assert set(Order.objects.values_list("status", flat=True)) == {Status.PENDING, Status.CONFIRMED}
        assert Saga.objects.filter(key=str(undecided.pk), state="running").exists()

    def test_money_that_comes_late_confirms_the_order(self, pump, unpaid):
        services.confirm(order_id=unpaid.pk, note="transfer 4711")
        pump.run()

        unpaid.refresh_from_db()
        assert unpaid.status == Status.CONFIRMED
        assert unpaid.payments.get().state == Payment.State.AUTHORIZED
        assert [event.type for event in pump.events] == ["orders.order.confirmed"]


class TestShipping:
    def test_a_confirmed_order_is_shipped_after_a_while(self, api, confirmed, pump):
        tasks.ship_confirmed_orders()
        assert not Shipment.objects.exists()
        age(confirmed, hours=2)

        tasks.ship_confirmed_orders()
        pump.run()

        assert look(api, confirmed.pk)["status"] == "shipped"
        assert confirmed.shipment.tracking_number
        assert pump.events[-1].type == "orders.order.shipped"

    def test_an_address_that_was_not_known_is_asked_for_first(self, confirmed, neighbours, customer):
        age(confirmed, hours=2)
        neighbours.silent.add("users")
        tasks.ship_confirmed_orders()
        confirmed.refresh_from_db()
        assert confirmed.status == Status.CONFIRMED
        neighbours.silent.clear()
        neighbours.users[customer.pk]["address"] = "1 Long Lane, BA1 Bath"

        tasks.ship_confirmed_orders()

        confirmed.refresh_from_db()
        assert (confirmed.status, confirmed.ship_to) == (Status.SHIPPED, "1 Long Lane, BA1 Bath")

    def test_an_order_that_changes_meanwhile_stands_in_nobody_s_way(self, confirmed, monkeypatch):
        age(confirmed, hours=2)
        monkeypatch.setattr(tasks, "_address", lambda pk: checkout.cancel(order_id=pk, note="") and "")

        tasks.ship_confirmed_orders()

        confirmed.refresh_from_db()
        assert confirmed.status == Status.CANCELLED


class TestAdmin:
    @pytest.fixture
    def admin(self, client):
        root = get_user_model().objects.create_superuser("root", "root@example.com", "a-long-Passphrase-7")
        client.force_login(root)
        return client

    def test_pages_open(self, admin, confirmed, customer):
        services.save_payment_method(order_id=confirmed.pk, token="tok_card")
        services.forget_customer(user_id=999)
        for path in (
            "order/",
            f"order/?q={customer.pk}",
            f"order/{confirmed.pk}/change/",
            "paymentmethod/",
            f"paymentmethod/{PaymentMethod.objects.get().pk}/change/",
            "forgottencustomer/",
        ):
            assert admin.get(f"/admin/orders/{path}").status_code == 200

    def test_actions_go_through_the_services(self, admin, pump, warehouse, confirmed):
        for _ in range(2):
            answer = admin.post("/admin/orders/order/", {"action": "cancel", "_selected_action": confirmed.pk})
            assert answer.status_code == 302

        pump.run()
        assert warehouse.stock[MILK] == 10
