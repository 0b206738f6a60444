"""What other services ask of the catalogue."""

from __future__ import annotations

import pytest
from chassis.identity import tokens
from conftest import with_token

pytestmark = pytest.mark.django_db


def test_names_and_prices_are_given_in_the_order_of_ids(service_api, new_product):
    first, withdrawn = new_product(name="Milk"), new_product(name="Tea", is_active=False)

    answer = service_api.get("/internal/products", {"ids": f"{withdrawn.pk},{first.pk},{first.pk},999999"})

    assert answer.status_code == 200
    assert answer.json() == [
        {"id": first.pk, "name": "Milk", "price": "2.50", "currency": "USD", "is_active": True},
        {"id": withdrawn.pk, "name": "Tea", "price": "2.50", "currency": "USD", "is_active": False},
    ]


def test_of_unknown_products_nothing_is_said(service_api):
    assert service_api.get("/internal/products", {"ids": f"0,{2**63 - 1}"}).json() == []


def test_five_hundred_ids_may_be_asked_for_and_no_more(service_api):
    def ask(count):
        return service_api.get("/internal/products", {"ids": ",".join(map(str, range(count)))}).status_code

    assert (ask(500), ask(501)) == (200, 400)


@pytest.mark.parametrize("ids", ["", "milk", "1,", "1,,2", "-1", "1.5", "²", str(2**63), "9" * 5000])
def test_ids_are_whole_numbers(service_api, ids):
    answer = service_api.get("/internal/products", {"ids": ids})

    assert (answer.status_code, list(answer.json())) == (400, ["ids"])


def test_without_ids_it_is_refused(service_api):
    assert service_api.get("/internal/products").status_code == 400


def test_people_are_not_let_in_whoever_they_are(anonymous, api, staff_api):
    answers = [client.get("/internal/products", {"ids": "1"}) for client in (anonymous, api, staff_api)]

    assert [answer.status_code for answer in answers] == [401, 401, 401]


def test_a_token_for_another_service_opens_nothing(service_api):
    other = with_token(tokens.issue_service("users", "orders"))

    assert other.get("/internal/products", {"ids": "1"}).status_code == 401


def test_a_service_is_no_staff(service_api, product):
    assert service_api.post(f"/api/v1/products/{product.pk}/stock", {"delta": 1}).status_code == 401
