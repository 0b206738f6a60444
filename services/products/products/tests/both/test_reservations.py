"""Stock that is reserved by a key, refused, and given back."""

from __future__ import annotations

from decimal import Decimal

import pytest

from products import services
from products.models import Product, Reservation, StockMovement

State, Reason = Reservation.State, Reservation.Reason

pytestmark = pytest.mark.django_db


def line(product, quantity):
    return {"product_id": product if isinstance(product, int) else product.pk, "quantity": quantity}


def reserve(*lines, key="k", reference="order 1"):
    return services.reserve(key=key, reference=reference, lines=lines)


def release(*lines, key="k", reference="order 1"):
    return services.release(key=key, reference=reference, lines=lines)


def stock(product):
    return Product.objects.get(pk=product.pk).stock


def movements(product):
    return list(product.stock_movements.exclude(reason="delivery").values_list("delta", "reason", "reference"))


class TestReserving:
    def test_it_takes_the_stock_and_answers_with_the_prices_of_the_moment(self, new_product):
        milk, tea = new_product(name="Milk", price=Decimal("2.50")), new_product(name="Tea", price=Decimal("4.20"))

        reservation = reserve(line(milk, 3), line(tea, 1))

        assert reservation.state == State.RESERVED
        assert reservation.lines == [
            {"product_id": milk.pk, "quantity": 3, "name": "Milk", "unit_price": "2.50", "currency": "USD"},
            {"product_id": tea.pk, "quantity": 1, "name": "Tea", "unit_price": "4.20", "currency": "USD"},
        ]
        assert (stock(milk), stock(tea)) == (7, 9)
        assert movements(milk) == [(-3, "sale", "order 1")]

    def test_the_last_piece_can_be_reserved(self, product):
        assert reserve(line(product, 10)).state == State.RESERVED
        assert stock(product) == 0

    def test_too_little_of_one_takes_nothing_of_any(self, new_product):
        plenty, scarce = new_product(stock=10), new_product(stock=1)

        reservation = reserve(line(plenty, 1), line(scarce, 2))

        assert (reservation.state, reservation.reason) == (State.REFUSED, Reason.NOT_ENOUGH_STOCK)
        assert reservation.product_ids == [scarce.pk]
        assert (stock(plenty), stock(scarce)) == (10, 1)

    def test_lines_of_one_product_count_together(self, product):
        assert reserve(line(product, 6), line(product, 5)).state == State.REFUSED
        assert reserve(line(product, 6), line(product, 4), key="other").state == State.RESERVED
        assert stock(product) == 0

    def test_what_is_unknown_or_withdrawn_is_refused(self, new_product):
        sold, withdrawn = new_product(), new_product(is_active=False)

        reservation = reserve(line(sold, 1), line(999_999, 1), line(withdrawn, 1))

        assert (reservation.state, reservation.reason) == (State.REFUSED, Reason.UNKNOWN_PRODUCT)
        assert reservation.product_ids == sorted([999_999, withdrawn.pk])
        assert stock(sold) == 10

    @pytest.mark.parametrize("quantity", [0, -1, 1.5, "1", True, None])
    def test_a_quantity_is_a_whole_number_of_at_least_one(self, product, quantity):
        with pytest.raises(ValueError, match="at least one"):
            reserve(line(product, quantity))

        assert not Reservation.objects.exists()


class TestReservingAgain:
    def test_a_key_gives_the_same_answer_though_the_price_has_changed(self, product):
        first = reserve(line(product, 1))
        Product.objects.update(price=Decimal("9.99"), name="Dear Milk")

        second = reserve(line(product, 1))

        assert (second.state, second.lines) == (first.state, first.lines)
        assert stock(product) == 9

    def test_a_refused_key_stays_refused_though_there_is_stock_now(self, product):
        reserve(line(product, 11))
        Product.objects.update(stock=100)

        second = reserve(line(product, 11))

        assert (second.state, second.reason, second.product_ids) == (
            State.REFUSED,
            Reason.NOT_ENOUGH_STOCK,
            [product.pk],
        )
        assert stock(product) == 100

    def test_the_order_of_the_lines_makes_no_difference(self, new_product):
        lines = [line(new_product(), 1), line(new_product(), 2)]
        first = reserve(*lines)

        assert reserve(*reversed(lines)).lines == first.lines

    @pytest.mark.parametrize("first", [1, 11])
    def test_a_key_with_other_lines_is_an_error(self, product, first):
        reserve(line(product, first))

        with pytest.raises(services.KeyReusedError):
            reserve(line(product, 2))


class TestReleasing:
    def test_it_gives_back_what_the_reservation_took_whatever_it_names(self, product):
        reserve(line(product, 3))

        release(line(product, 9), reference="cancelled")

        assert stock(product) == 10
        assert movements(product) == [(-3, "sale", "order 1"), (3, "return", "order 1")]

    def test_again_gives_back_nothing(self, product):
        reserve(line(product, 3))

        states = [release().state for _ in range(2)]

        assert states == [State.RELEASED] * 2
        assert stock(product) == 10

    def test_of_what_was_refused_gives_back_nothing(self, product):
        reserve(line(product, 11))

        assert release(line(product, 11)).state == State.REFUSED
        assert stock(product) == 10

    def test_before_the_reservation_refuses_it_for_good(self, product):
        release()

        reservation = reserve(line(product, 1))

        assert (reservation.state, reservation.reason) == (State.RELEASED, Reason.RELEASED)
        assert stock(product) == 10

    def test_a_released_key_is_refused(self, product):
        reserve(line(product, 1))
        release()

        assert reserve(line(product, 1)).reason == Reason.RELEASED
        assert stock(product) == 10

    def test_what_was_taken_without_a_reservation_comes_back_once(self, product):
        for _ in range(2):
            release(line(product, 4))

        assert stock(product) == 14
        assert movements(product) == [(4, "return", "order 1")]

    def test_a_product_that_is_gone_does_not_keep_the_rest(self, new_product):
        gone, here = new_product(), new_product()
        reserve(line(gone, 1), line(here, 1))
        gone.delete()

        assert release().state == State.RELEASED
        assert stock(here) == 10

    def test_a_quantity_below_one_is_an_error_and_leaves_nothing(self, product):
        with pytest.raises(ValueError, match="at least one"):
            release(line(product, -5))

        assert not Reservation.objects.exists()
        assert not StockMovement.objects.exclude(reason="delivery").exists()
