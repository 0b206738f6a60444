"""Placing an order over HTTP: the outcome, and what it leaves in stock, money and history."""

from __future__ import annotations

from decimal import Decimal
from uuid import uuid4

import pytest
from conftest import client_of, new_user
from products.models import Product, StockMovement
from users import services as users

from orders.models import Order, Payment, PaymentMethod, StatusChange


def place(client, *lines, key=None, **more):
    body = {"lines": [{"product_id": pk, "quantity": quantity} for pk, quantity in lines]} | more
    return client.post("/api/v1/orders", body, headers={"Idempotency-Key": key or str(uuid4())})


def stock(product):
    return Product.objects.get(pk=product.pk).stock


class TestOutcome:
    def test_an_order_is_confirmed_at_todays_price(self, api, customer, product):
        answer = place(api, (product.pk, 3))

        order = Order.objects.get()
        assert answer.status_code == 201
        assert answer.json() == {
            "id": order.pk,
            "status": "confirmed",
            "total": "7.50",
            "currency": "USD",
            "created_at": order.created_at.isoformat().replace("+00:00", "Z"),
            "lines": [
                {"product_id": product.pk, "name": "Whole Milk", "quantity": 3, "unit_price": "2.50"},
            ],
        }
        assert order.user == customer

    def test_it_takes_the_stock_and_the_money_and_writes_it_down(self, api, product):
        place(api, (product.pk, 3))

        order = Order.objects.get()
        assert stock(product) == 7
        assert StockMovement.objects.get(reason="sale").delta == -3
        assert order.payments.get().state == Payment.State.AUTHORIZED
        assert list(order.history.order_by("pk").values_list("status", flat=True)) == ["pending", "confirmed"]

    def test_without_stock_it_is_rejected_and_takes_nothing(self, api, product, new_product):
        plenty = new_product(stock=100)

        answer = place(api, (plenty.pk, 5), (product.pk, 11))

        assert (answer.status_code, answer.json()["status"]) == (201, "rejected")
        assert (stock(plenty), stock(product)) == (100, 10)
        assert Payment.objects.get().state == Payment.State.RETURNED
        assert StatusChange.objects.last().note == "not enough stock"

    def test_lines_of_the_same_product_are_counted_together(self, api, product):
        assert place(api, (product.pk, 6), (product.pk, 5)).json()["status"] == "rejected"
        assert place(api, (product.pk, 6), (product.pk, 4)).json()["status"] == "confirmed"
        assert stock(product) == 0

    @pytest.mark.parametrize(("price", "token"), [("1.00", "tok_declined"), ("10000.01", "tok_card")])
    def test_a_declined_payment_rejects_it_and_takes_no_stock(self, api, new_product, price, token):
        product = new_product(price=Decimal(price))

        answer = place(api, (product.pk, 1), payment_token=token)

        assert (answer.status_code, answer.json()["status"]) == (201, "rejected")
        assert stock(product) == 10
        assert Payment.objects.get().state == Payment.State.DECLINED

    def test_a_transfer_leaves_it_pending_with_its_stock_taken(self, api, product):
        answer = place(api, (product.pk, 1), payment_token="tok_transfer")

        assert answer.json()["status"] == "pending"
        assert stock(product) == 9

    def test_the_address_of_the_day_is_kept(self, api, customer, product):
        users.add_address(user=customer, line1="1 Long Lane", city="Bath", postal_code="BA1", country="GB")

        place(api, (product.pk, 1))

        assert Order.objects.get().ship_to == "1 Long Lane, BA1 Bath"

    def test_a_saved_payment_method_pays_the_next_order(self, api, product):
        place(api, (product.pk, 1), payment_token="tok_transfer", save_payment_method=True)

        assert PaymentMethod.objects.get().token == "tok_transfer"
        assert place(api, (product.pk, 1)).json()["status"] == "pending"


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
        ],
    )
    def test_a_body_without_sound_lines_is_400(self, api, lines):
        answer = api.post("/api/v1/orders", {"lines": lines}, headers={"Idempotency-Key": "k"})

        assert answer.status_code == 400
        assert list(answer.json()) == ["lines"]

    def test_an_unknown_product_is_400_and_leaves_no_order(self, api, product):
        answer = place(api, (product.pk, 1), (product.pk + 1, 1))

        assert answer.status_code == 400
        assert str(product.pk + 1) in answer.json()["lines"][0]
        assert not Order.objects.exists()

    @pytest.mark.parametrize("key", ["", "k" * 256])
    def test_a_key_is_required(self, api, product, key):
        body = {"lines": [{"product_id": product.pk, "quantity": 1}]}

        assert api.post("/api/v1/orders", body, headers={"Idempotency-Key": key}).status_code == 400

    def test_strangers_order_nothing(self, anonymous, product):
        assert place(anonymous, (product.pk, 1)).status_code == 401


class TestIdempotency:
    def test_the_same_key_and_body_give_the_same_order_again(self, api, product):
        first, again = (place(api, (product.pk, 2), key="k") for _ in range(2))

        assert again.status_code == 201
        assert again.json() == first.json()
        assert stock(product) == 8

    def test_another_body_is_422(self, api, product):
        place(api, (product.pk, 2), key="k")

        assert place(api, (product.pk, 3), key="k").status_code == 422
        assert Order.objects.count() == 1

    def test_a_key_belongs_to_its_caller(self, api, product):
        other = client_of(new_user())

        assert place(api, (product.pk, 1), key="k").json()["id"] != place(other, (product.pk, 2), key="k").json()["id"]

    def test_a_withdrawn_product_does_not_undo_an_earlier_order(self, api, product):
        first = place(api, (product.pk, 1), key="k")
        Product.objects.update(is_active=False)

        assert place(api, (product.pk, 1), key="k").json() == first.json()
