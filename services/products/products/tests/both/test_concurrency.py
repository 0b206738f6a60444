"""Reservations at the same time, each over a connection of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from django.db import connection

from products import services
from products.models import Product, Reservation, StockMovement

CALLERS = 8

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(act: Callable[[Any], Any], arguments: Sequence[Any]) -> list[Any]:
    """The answers of all calls; the calls begin together."""
    barrier = Barrier(len(arguments))

    def run(argument: Any) -> Any:
        try:
            barrier.wait(timeout=10)
            return act(argument)
        finally:
            connection.close()

    with ThreadPoolExecutor(len(arguments)) as pool:
        return list(pool.map(run, arguments))


def reserve(key, *lines):
    wished = [{"product_id": pk, "quantity": quantity} for pk, quantity in lines]
    return services.reserve(key=key, reference=key, lines=wished)


def test_the_last_pieces_are_reserved_once(new_product):
    product = new_product(stock=5)

    answers = at_once(lambda key: reserve(key, (product.pk, 1)), [f"k{number}" for number in range(CALLERS)])

    assert Counter(answer.state for answer in answers) == {"reserved": 5, "refused": 3}
    assert Product.objects.get().stock == 0


def test_one_key_takes_once_and_answers_all_alike(new_product):
    product = new_product(stock=100)

    answers = at_once(lambda key: reserve(key, (product.pk, 3)), ["k"] * CALLERS)

    assert {answer.state for answer in answers} == {"reserved"}
    assert all(answer.lines == answers[0].lines for answer in answers)
    assert Product.objects.get().stock == 97


def test_the_same_products_in_another_order_do_not_deadlock(new_product):
    first, second = new_product(stock=1000), new_product(stock=1000)
    baskets = [((first.pk, 1), (second.pk, 1)), ((second.pk, 1), (first.pk, 1))] * (CALLERS // 2)

    answers = at_once(lambda pair: reserve(f"k{pair[0]}", *pair[1]), list(enumerate(baskets)))

    assert {answer.state for answer in answers} == {"reserved"}


@pytest.mark.parametrize("attempt", range(5))
def test_a_reservation_and_its_release_leave_nothing_taken_whoever_is_first(new_product, attempt):
    product = new_product(stock=10)

    def act(verb):
        return reserve("k", (product.pk, 2)) if verb == "reserve" else services.release(key="k", reference="k")

    at_once(act, ["reserve", "release"] * (CALLERS // 2))

    assert Reservation.objects.get().state == "released"
    assert Product.objects.get().stock == 10
    assert sum(StockMovement.objects.exclude(reason="delivery").values_list("delta", flat=True)) == 0


def test_many_releases_at_once_give_back_once(new_product):
    product = new_product(stock=10)
    reserve("k", (product.pk, 4))

    at_once(lambda key: services.release(key=key, reference=key), ["k"] * CALLERS)

    assert Product.objects.get().stock == 10


def test_stock_that_is_taken_by_hand_meanwhile_is_not_sold(new_product, staff):
    product = new_product(stock=CALLERS)

    def act(number):
        if number % 2:
            return reserve(f"k{number}", (product.pk, 2)).state
        try:
            services.adjust_stock(product=product, delta=-2, by=staff)
        except services.NotEnoughStockError:
            return "refused"
        return "reserved"

    outcomes = at_once(act, range(CALLERS))

    assert Counter(outcomes) == {"reserved": 4, "refused": 4}
    assert Product.objects.get().stock == 0
