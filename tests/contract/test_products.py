from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.contract.goods import GOODS, PATH, unique
from tests.contract.purchases import fresh_key

CAPABILITY = "products"


@pytest.fixture
def product(shelf):
    return shelf.add(stock=5)


def path(product):
    return f"{PATH}/{product['id']}"


def deliver(api, staff, product, delta, **headers):
    return api.post(f"{path(product)}/stock", json={"delta": delta}, headers={**staff.headers, **headers})


def test_a_product_is_shown_to_anybody(api, product):
    answer = api.get(path(product))

    assert answer.status_code == 200
    shown = answer.json()
    assert set(shown) == {"id", "name", "category", "brand", "size", "price", "currency", "stock", "updated_at"}
    assert shown == product
    assert (shown["price"], shown["currency"], shown["stock"]) == (GOODS["price"], "USD", 5)


def test_an_unknown_product_is_not_found(api):
    answer = api.get(f"{PATH}/999999999999")

    assert answer.status_code == 404
    assert list(answer.json()) == ["detail"]


def test_a_search_finds_every_word_in_name_or_brand_in_any_case(api, shelf):
    word, brand = unique("soup"), unique("brand")
    found = shelf.add(name=f"Green {word}", brand=brand.upper())
    shelf.add(name=f"Red {word}")

    page = api.get(PATH, params={"search": f"{word.upper()} {brand}"}).json()

    assert page["results"] == [found]


def test_a_category_holds_what_is_in_its_children_by_id_and_by_slug(api, shelf):
    categories = api.get("/api/v1/categories", params={"page_size": 200, "ordering": "id"}).json()["results"]
    child = next(category for category in categories if category["parent"])
    parent = next(category for category in categories if category["id"] == child["parent"])
    word = unique("shelf")
    product = shelf.add(name=word, category=child["id"])

    for category in (child["id"], child["slug"], parent["id"], parent["slug"]):
        page = api.get(PATH, params={"search": word, "category": category}).json()
        assert page["results"] == [product], category
    assert api.get(PATH, params={"search": word, "category": "no-such"}).json()["results"] == []


def test_cursors_lead_through_equal_prices_without_a_gap_or_a_repetition(api, shelf):
    word = unique("equal")
    added = [shelf.add(name=f"{word} {number}")["id"] for number in range(5)]

    found, address = [], f"{PATH}?search={word}&ordering=-price&page_size=2"
    while address:
        page = api.get(address).json()
        assert len(page["results"]) <= 2
        found += [product["id"] for product in page["results"]]
        address = page["next"]

    assert found == added[::-1]


@pytest.mark.parametrize(
    ("ordering", "sign"), [("price", 1), ("-price", -1), ("name", 1), ("-name", -1), ("id", 1), ("-id", -1)]
)
def test_a_list_is_in_the_order_asked_for(api, shelf, ordering, sign):
    word = unique("order")
    for name, price in (("b", "9.50"), ("c", "10.00"), ("a", "0.99")):
        shelf.add(name=f"{word} {name}", price=price)

    results = api.get(PATH, params={"search": word, "ordering": ordering}).json()["results"]

    field = ordering.lstrip("-")
    values = [float(product[field]) if field == "price" else product[field] for product in results]
    assert len(values) == 3
    assert values == sorted(values)[::sign]


def test_staff_add_a_product(api, staff):
    answer = api.post(PATH, json=GOODS | {"stock": 7, "size": "1 kg"}, headers=staff.headers)

    assert answer.status_code == 201
    assert isinstance(answer.json()["id"], int)
    assert answer.json().items() >= {**GOODS, "stock": 7, "size": "1 kg", "currency": "USD"}.items()
    assert api.get(path(answer.json())).json() == answer.json()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"price": "-1"}, "price"),
        ({"price": "1.001"}, "price"),
        ({"currency": "euro"}, "currency"),
        ({"stock": -1}, "stock"),
        ({"category": 999_999_999}, "category"),
    ],
)
def test_a_field_that_cannot_be_is_named(api, staff, changes, field):
    answer = api.post(PATH, json=GOODS | changes, headers=staff.headers)

    assert answer.status_code == 400
    assert list(answer.json()) == [field]


@pytest.mark.parametrize(
    ("method", "below", "body"),
    [("POST", "", GOODS), ("PATCH", "/{id}", {"price": "1"}), ("POST", "/{id}/stock", {"delta": 1})],
)
def test_the_catalogue_is_kept_by_staff_alone(api, account, product, method, below, body):
    address = PATH + below.format(id=product["id"])

    assert api.request(method, address, json=body).status_code == 401
    assert api.request(method, address, json=body, headers=account.headers).status_code == 403
    assert api.get(path(product)).json() == product


def test_a_change_is_answered_and_kept_and_never_touches_the_stock(api, staff, product):
    body = {"price": "2.50", "name": "Other goods", "stock": 1000, "id": 1}

    answer = api.patch(path(product), json=body, headers=staff.headers)

    assert answer.status_code == 200
    changed = answer.json()
    assert (changed["id"], changed["price"], changed["name"], changed["stock"]) == (
        product["id"],
        "2.50",
        "Other goods",
        5,
    )
    assert changed["updated_at"] > product["updated_at"]
    assert api.get(path(product)).json() == changed


def test_a_delivery_adds_to_the_stock_and_a_correction_takes_from_it(api, staff, product):
    assert deliver(api, staff, product, 10).json()["stock"] == 15
    assert deliver(api, staff, product, -15).json()["stock"] == 0


def test_stock_below_zero_is_a_conflict_and_changes_nothing(api, staff, product):
    answer = deliver(api, staff, product, -6)

    assert answer.status_code == 409
    assert list(answer.json()) == ["detail"]
    assert api.get(path(product)).json() == product


def test_a_key_changes_the_stock_once_and_is_answered_the_same(api, staff, product):
    header = {"Idempotency-Key": fresh_key()}

    first, again = (deliver(api, staff, product, 10, **header) for _ in range(2))

    assert first.status_code == again.status_code == 200
    assert first.content == again.content
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert api.get(path(product)).json()["stock"] == 15


def test_a_key_with_another_body_is_refused(api, staff, product):
    header = {"Idempotency-Key": fresh_key()}
    deliver(api, staff, product, 10, **header)

    answer = deliver(api, staff, product, 11, **header)

    assert answer.status_code == 422
    assert api.get(path(product)).json()["stock"] == 15


def test_a_key_that_met_a_conflict_may_be_used_when_there_is_stock(api, staff, product):
    header = {"Idempotency-Key": fresh_key()}
    assert deliver(api, staff, product, -6, **header).status_code == 409
    deliver(api, staff, product, 1)

    answer = deliver(api, staff, product, -6, **header)

    assert answer.status_code == 200
    assert answer.json()["stock"] == 0


def test_of_many_requests_at_once_with_one_key_one_has_an_effect(api, staff, product):
    header = {"Idempotency-Key": fresh_key()}

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: deliver(api, staff, product, 10, **header), range(4)))

    assert {answer.status_code for answer in answers} == {200}
    assert {answer.content for answer in answers} == {answers[0].content}
    assert api.get(path(product)).json()["stock"] == 15


def test_of_many_who_take_the_last_piece_one_gets_it(api, staff, shelf):
    product = shelf.add(stock=1)

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: deliver(api, staff, product, -1), range(4)))

    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
    assert api.get(path(product)).json()["stock"] == 0


def test_nobody_but_services_asks_for_offers(api, account, staff, product):
    for headers in ({}, account.headers, staff.headers):
        answer = api.get("/internal/products", params={"ids": product["id"]}, headers=headers)
        assert answer.status_code in (401, 403)
