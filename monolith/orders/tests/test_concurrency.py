"""Customers at the same time, each in a transaction of its own."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from conftest import client_of, new_user
from django.db import connection
from products.models import Product

from orders.models import Order
from orders.tests.test_checkout import place

CUSTOMERS = 8

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(act, arguments):
    """The answers of all calls; the calls begin together."""
    barrier = Barrier(len(arguments))

    def run(argument):
        try:
            barrier.wait(timeout=10)
            return act(argument)
        finally:
            connection.close()

    with ThreadPoolExecutor(len(arguments)) as pool:
        return list(pool.map(run, arguments))


def test_the_last_pieces_are_sold_once(new_product):
    product = new_product(stock=5)
    clients = [client_of(new_user()) for _ in range(CUSTOMERS)]

    answers = at_once(lambda client: place(client, (product.pk, 1)), clients)

    assert Counter(answer.json()["status"] for answer in answers) == {"confirmed": 5, "rejected": 3}
    assert Product.objects.get().stock == 0


def test_baskets_with_the_same_products_in_another_order_do_not_deadlock(new_product):
    first, second = new_product(stock=1000), new_product(stock=1000)
    baskets = [((first.pk, 1), (second.pk, 1)), ((second.pk, 1), (first.pk, 1))] * (CUSTOMERS // 2)
    clients = [client_of(new_user()) for _ in baskets]

    answers = at_once(lambda pair: place(pair[0], *pair[1]), list(zip(clients, baskets, strict=True)))

    assert {answer.json()["status"] for answer in answers} == {"confirmed"}


def test_one_key_places_one_order_however_often_it_arrives(new_product):
    product = new_product(stock=100)
    client = client_of(new_user())

    answers = at_once(lambda key: place(client, (product.pk, 1), key=key), ["k"] * CUSTOMERS)

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert Order.objects.count() == 1
    assert Product.objects.get().stock == 99
