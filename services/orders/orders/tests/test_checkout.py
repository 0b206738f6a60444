"""Placing an order over HTTP: the outcome, and what it leaves in stock, money and history."""

from __future__ import annotations

import pytest
from conftest import client_of, new_customer

from orders.models import Order, Payment, PaymentMethod, StatusChange
from orders.tests.placing import look, place

MILK, BREAD = 11, 12

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _shelves(warehouse):
    warehouse.add(MILK, stock=10)
    warehouse.add(BREAD, name="Bread", price="1.00", stock=100)


@pytest.fixture
def settle(api, pump):
    """Places an order and lets every service do its part; returns what the customer then sees."""

    def run(*lines, **more):
        placed = place(api, *lines, **more)
        assert placed.status_code == 201, placed.json()
        assert placed.json()["status"] == "pending"
        pump.run()
        return look(api, placed.json()["id"])

    return run


class TestOutcome:
    def test_an_order_is_pending_with_names_and_prices_until_it_is_decided(self, api):
        answer = place(api, (MILK, 3))

        order = Order.objects.get()
        assert answer.status_code == 201
        assert answer.json() == {
            "id": order.pk,
            "status": "pending",
            "total": "7.50",
            "currency": "USD",
            "created_at": order.created_at.isoformat().replace("+00:00", "Z"),
            "lines": [{"product_id": MILK, "name": "Whole Milk", "quantity": 3, "unit_price": "2.50"}],
        }

    def test_it_takes_the_stock_and_the_money_and_is_confirmed(self, settle, warehouse, customer):
        assert settle((MILK, 3))["status"] == "confirmed"

        order = Order.objects.get()
        assert order.user_id == customer.pk
        assert warehouse.stock[MILK] == 7
        assert (order.payments.get().state, order.payments.get().amount) == (Payment.State.AUTHORIZED, order.total)
        assert list(order.history.order_by("pk").values_list("status", flat=True)) == ["pending", "confirmed"]

    def test_without_stock_it_is_rejected_and_takes_nothing(self, settle, warehouse):
        assert settle((BREAD, 5), (MILK, 11))["status"] == "rejected"

        assert (warehouse.stock[BREAD], warehouse.stock[MILK]) == (100, 10)
        assert not Payment.objects.exists()
        assert StatusChange.objects.last().note == "not enough stock"

    def test_lines_of_the_same_product_are_counted_together(self, settle, warehouse):
        assert settle((MILK, 6), (MILK, 5))["status"] == "rejected"
        assert settle((MILK, 6), (MILK, 4))["status"] == "confirmed"
        assert warehouse.stock[MILK] == 0

    @pytest.mark.parametrize(("price", "token"), [("1.00", "tok_declined"), ("10000.01", "tok_card")])
    def test_a_declined_payment_rejects_it_and_gives_the_stock_back(self, settle, warehouse, price, token):
        product = warehouse.add(20, price=price)

        assert settle((product, 1), payment_token=token)["status"] == "rejected"

        assert warehouse.stock[product] == 10
        assert Payment.objects.get().state == Payment.State.DECLINED
        assert StatusChange.objects.last().note.startswith("payment declined: ")

    def test_a_transfer_leaves_it_pending_with_its_stock_taken(self, settle, warehouse):
        assert settle((MILK, 1), payment_token="tok_transfer")["status"] == "pending"

        assert warehouse.stock[MILK] == 9
        assert Payment.objects.get().state == Payment.State.AWAITED

    def test_a_saved_payment_method_pays_the_next_order(self, settle):
        settle((MILK, 1), payment_token="tok_transfer", save_payment_method=True)

        assert PaymentMethod.objects.get().token == "tok_transfer"
        assert settle((MILK, 1))["status"] == "pending"

    def test_a_payment_method_that_was_declined_is_not_saved(self, settle):
        settle((MILK, 1), payment_token="tok_declined", save_payment_method=True)

        assert not PaymentMethod.objects.exists()

    def test_what_the_price_was_when_the_stock_was_taken_is_paid(self, api, pump, warehouse):
        order = place(api, (MILK, 2)).json()
        warehouse.add(MILK, name="Fresh Milk", price="3.00")

        pump.run()

        seen = look(api, order["id"])
        assert (order["total"], seen["total"], seen["lines"][0]["name"]) == ("5.00", "6.00", "Fresh Milk")
        assert str(Payment.objects.get().amount) == "6.00"

    def test_others_are_told(self, settle, pump, customer):
        order = settle((MILK, 3))

        (event,) = pump.events
        assert (event.type, event.subject, event.version) == ("orders.order.confirmed", str(order["id"]), 1)
        assert event.data == {
            "order_id": order["id"], "user_id": customer.pk, "total": "7.50", "currency": "USD", "status": "confirmed",
        }  # fmt: skip


class TestNeighbours:
    def test_the_address_of_the_day_is_kept(self, api, neighbours, customer):
        neighbours.users[customer.pk] = {"email": "a@b.c", "full_name": "Ada", "address": "1 Long Lane, BA1 Bath"}

        place(api, (MILK, 1))

        assert Order.objects.get().ship_to == "1 Long Lane, BA1 Bath"

    def test_without_users_the_address_is_blank_at_first(self, api, neighbours):
        neighbours.silent.add("users")

        assert place(api, (MILK, 1)).status_code == 201
        assert Order.objects.get().ship_to == ""

    def test_without_products_the_order_is_taken_and_filled_in_later(self, api, pump, neighbours):
        neighbours.silent.add("products")

        order = place(api, (MILK, 2)).json()
        pump.run()

        assert (order["total"], order["lines"][0]["name"]) == ("0.00", "")
        seen = look(api, order["id"])
        assert (seen["status"], seen["total"]) == ("confirmed", "5.00")
        assert seen["lines"] == [{"product_id": MILK, "name": "Whole Milk", "quantity": 2, "unit_price": "2.50"}]

    def test_a_product_that_then_turns_out_to_be_unknown_rejects_it(self, api, pump, neighbours):
        neighbours.silent.add("products")

        order = place(api, (99, 1)).json()
        pump.run()

        assert look(api, order["id"])["status"] == "rejected"
        assert StatusChange.objects.last().note == "unknown product"


class TestRefusals:
    @pytest.mark.parametrize(
        "lines",
        [
            [],
            None,
            [{}],
            [{"product_id": 1}],
            [{"product_id": 1, "quantity": 0}],
            [{"product_id": "x", "quantity": 1}],
            [{"product_id": 2**63, "quantity": 1}],
        ],
    )
    def test_a_body_without_sound_lines_is_400(self, api, lines):
        answer = api.post("/api/v1/orders", {"lines": lines}, headers={"Idempotency-Key": "k"})

        assert answer.status_code == 400
        assert list(answer.json()) == ["lines"]

    @pytest.mark.parametrize("withdrawn", [True, False])
    def test_an_unknown_or_withdrawn_product_is_400_and_leaves_no_order(self, api, warehouse, neighbours, withdrawn):
        if withdrawn:
            warehouse.add(99)
            neighbours.products[99]["is_active"] = False

        answer = place(api, (MILK, 1), (99, 1))

        assert answer.status_code == 400
        assert "99" in answer.json()["lines"][0]
        assert not Order.objects.exists()

    @pytest.mark.parametrize("key", ["", "k" * 256])
    def test_a_key_is_required(self, api, key):
        body = {"lines": [{"product_id": MILK, "quantity": 1}]}

        assert api.post("/api/v1/orders", body, headers={"Idempotency-Key": key}).status_code == 400

    def test_strangers_order_nothing(self, anonymous):
        assert place(anonymous, (MILK, 1)).status_code == 401


class TestIdempotency:
    def test_the_same_key_and_body_give_the_same_order_again(self, api, pump, warehouse):
        first, again = (place(api, (MILK, 2), key="k") for _ in range(2))
        pump.run()

        assert again.status_code == 201
        assert again.json() == first.json()
        assert warehouse.stock[MILK] == 8
        assert place(api, (MILK, 2), key="k").json()["status"] == "confirmed"

    def test_another_body_is_422(self, api):
        place(api, (MILK, 2), key="k")

        assert place(api, (MILK, 3), key="k").status_code == 422
        assert Order.objects.count() == 1

    def test_a_key_belongs_to_its_caller(self, api, pump, neighbours, warehouse):
        other = client_of(neighbours, new_customer())

        first, second = place(api, (MILK, 1), key="k").json(), place(other, (MILK, 2), key="k").json()
        pump.run()

        assert first["id"] != second["id"]
        assert warehouse.stock[MILK] == 7

    def test_a_withdrawn_product_does_not_undo_an_earlier_order(self, api, neighbours):
        first = place(api, (MILK, 1), key="k")
        neighbours.products.clear()

        assert place(api, (MILK, 1), key="k").json() == first.json()
