from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest

from tests.contract.purchases import PATH, cancel, fresh_key, lines, place
from tests.waiting import eventually

CAPABILITY = "orders"


@pytest.fixture
def product(shelf):
    return shelf.add(stock=5)


def path(order):
    return f"{PATH}/{order['id']}"


def expect_stock(shelf, product, left):
    """In the services the stock that is given back arrives soon after the answer."""
    eventually(lambda: shelf.stock(product) == left, f"a stock of {left}")


def test_an_order_is_answered_with_what_was_bought(api, account, shelf, product):
    other = shelf.add(name="Other goods", price="0.33")

    answer = place(api, account, (product, 2), (other, 3))

    assert answer.status_code == 201
    order = answer.json()
    assert set(order) == {"id", "status", "total", "currency", "created_at", "lines"}
    assert (order["status"], order["total"], order["currency"]) == ("confirmed", "25.67", "USD")
    assert order["lines"] == [
        {"product_id": product["id"], "name": product["name"], "quantity": 2, "unit_price": "12.34"},
        {"product_id": other["id"], "name": "Other goods", "quantity": 3, "unit_price": "0.33"},
    ]
    assert shelf.stock(product) == 3
    assert api.get(path(order), headers=account.headers).json() == order


def test_a_price_that_changes_later_does_not_change_the_order(api, account, shelf, product):
    order = place(api, account, (product, 1)).json()

    shelf.change(product, price="99.00", name="Dear goods")

    assert api.get(path(order), headers=account.headers).json() == order
    assert place(api, account, (product, 1)).json()["total"] == "99.00"


def test_the_same_key_and_body_give_the_same_order(api, account, shelf, product):
    key = fresh_key()

    first, again = (place(api, account, (product, 2), key=key) for _ in range(2))

    assert first.status_code == again.status_code == 201
    assert first.json() == again.json()
    assert shelf.stock(product) == 3


def test_of_many_requests_at_once_with_one_key_one_becomes_an_order(api, account, shelf, product):
    key = fresh_key()

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: place(api, account, (product, 2), key=key), range(4)))

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert shelf.stock(product) == 3


def test_a_key_with_another_body_is_refused(api, account, shelf, product):
    key = fresh_key()
    place(api, account, (product, 2), key=key)

    answer = place(api, account, (product, 3), key=key)

    assert answer.status_code == 422
    assert list(answer.json()) == ["detail"]
    assert shelf.stock(product) == 3


def test_a_key_belongs_to_its_customer(api, register, product):
    key = fresh_key()

    orders = [place(api, customer, (product, 1), key=key).json() for customer in (register(), register())]

    assert orders[0]["id"] != orders[1]["id"]
    assert {order["status"] for order in orders} == {"confirmed"}


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": ""}, {"Idempotency-Key": "k" * 256}])
def test_without_a_key_nothing_is_ordered(api, account, product, headers):
    answer = api.post(PATH, json={"lines": lines((product, 1))}, headers=account.headers | headers)

    assert answer.status_code == 400
    assert list(answer.json()) == ["Idempotency-Key"]
    assert api.get(PATH, headers=account.headers).json()["results"] == []


def test_an_unknown_product_is_named_and_nothing_is_ordered(api, account, shelf, product):
    answer = place(api, account, (product, 1), ({"id": 999_999_999_999}, 1))

    assert answer.status_code == 400
    assert answer.json() == {"lines": ["Product 999999999999 cannot be ordered."]}
    assert api.get(PATH, headers=account.headers).json()["results"] == []
    assert shelf.stock(product) == 5


@pytest.mark.parametrize(
    "fields", [{"payment_token": "tok_declined"}, {"payment_token": "tok_declined", "save_payment_method": True}]
)
def test_a_declined_card_rejects_the_order_and_the_stock_stays(api, account, shelf, product, fields):
    answer = place(api, account, (product, 2), **fields)

    assert answer.status_code == 201
    assert answer.json()["status"] == "rejected"
    expect_stock(shelf, product, 5)
    assert place(api, account, (product, 1)).json()["status"] == "confirmed"


def test_without_stock_for_every_line_none_is_taken(api, account, shelf, product):
    scarce = shelf.add(stock=1)

    answer = place(api, account, (product, 2), (scarce, 2))

    assert answer.status_code == 201
    assert answer.json()["status"] == "rejected"
    assert (shelf.stock(product), shelf.stock(scarce)) == (5, 1)


def test_of_many_who_want_the_last_piece_one_gets_it(api, register, shelf):
    scarce = shelf.add(stock=1)
    customers = [register() for _ in range(4)]

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda customer: place(api, customer, (scarce, 1)), customers))

    assert sorted(answer.json()["status"] for answer in answers) == ["confirmed", "rejected", "rejected", "rejected"]
    assert shelf.stock(scarce) == 0


def test_a_transfer_leaves_the_order_pending_until_it_is_cancelled(api, account, shelf, product):
    order = place(api, account, (product, 2), payment_token="tok_transfer").json()
    assert order["status"] == "pending"
    assert shelf.stock(product) == 3

    cancelled = cancel(api, account, order)

    assert cancelled.status_code == 200
    assert cancelled.json() == order | {"status": "cancelled"}
    expect_stock(shelf, product, 5)


def test_a_saved_way_to_pay_serves_the_next_order(api, account, product):
    place(api, account, (product, 1), payment_token="tok_transfer", save_payment_method=True)

    assert place(api, account, (product, 1)).json()["status"] == "pending"
    assert place(api, account, (product, 1), payment_token="tok_card").json()["status"] == "confirmed"


def test_a_cancelled_order_gives_its_stock_back_once(api, account, shelf, product):
    order = place(api, account, (product, 2)).json()

    answers = [cancel(api, account, order) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert [answer.json() for answer in answers] == [order | {"status": "cancelled"}] * 2
    expect_stock(shelf, product, 5)
    place(api, account, (product, 1))  # then all that was sent before it has arrived, too
    assert shelf.stock(product) == 4


def test_a_rejected_order_cannot_be_cancelled(api, account, product):
    order = place(api, account, (product, 6)).json()

    answer = cancel(api, account, order)

    assert answer.status_code == 409
    assert answer.json() == {"detail": "An order that is rejected cannot become cancelled."}


def test_another_customer_s_order_is_not_found(api, register, product):
    mine, theirs = register(), register()
    order = place(api, theirs, (product, 1)).json()

    assert api.get(path(order), headers=mine.headers).status_code == 404
    assert cancel(api, mine, order).status_code == 404
    assert api.get(path(order), headers=theirs.headers).json() == order


def test_a_list_holds_the_customer_s_orders_newest_first_and_nobody_else_s(api, register, product):
    mine, theirs = register(), register()
    placed = [place(api, mine, (product, 1)).json() for _ in range(3)]
    place(api, theirs, (product, 1))

    first = api.get(PATH, params={"page_size": 2}, headers=mine.headers).json()
    second = api.get(first["next"], headers=mine.headers).json()

    assert set(first) == {"next", "previous", "results"}
    assert first["results"] + second["results"] == placed[::-1]
    assert second["next"] is None
    assert api.get(second["previous"], headers=mine.headers).json()["results"] == first["results"]


@pytest.mark.parametrize(("method", "below"), [("GET", ""), ("POST", ""), ("GET", "/1"), ("POST", "/1/cancel")])
def test_without_a_token_nothing_of_an_order_opens(api, method, below):
    answer = api.request(method, PATH + below, headers={"Idempotency-Key": fresh_key()})

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_the_token_of_a_deleted_customer_soon_opens_no_order(api, gateway, account, shelf, product):
    order = place(api, account, (product, 2)).json()

    gateway.delete("/api/v1/users/me", headers=account.headers)

    eventually(lambda: api.get(PATH, headers=account.headers).status_code == 401, "a refusal")
    assert api.get(path(order), headers=account.headers).status_code == 401
    assert place(api, account, (product, 1)).status_code == 401
    assert cancel(api, account, order).status_code == 401
    assert shelf.stock(product) == 3


def test_a_request_says_how_long_it_waits(api, account, product):
    headers = {**account.headers, "Idempotency-Key": fresh_key(), "Prefer": "wait=0"}

    order = api.post(PATH, json={"lines": lines((product, 1))}, headers=headers).json()

    assert order["status"] in ("pending", "confirmed")

    def decided():
        return api.get(path(order), headers=account.headers).json()["status"] == "confirmed"

    eventually(decided, "a confirmed order")
    assert Decimal(order["total"]) == Decimal(product["price"])


def test_what_the_dearest_pieces_cost_together_fits_into_an_order(api, account, shelf):
    dear = [shelf.add(price="99999999.99", stock=10) for _ in range(2)]

    fits = place(api, account, (dear[0], 10_000))
    too_many = place(api, account, (dear[0], 10_000), (dear[1], 1))

    assert (fits.status_code, fits.json()["status"]) == (201, "rejected")
    assert (too_many.status_code, list(too_many.json())) == (400, ["lines"])


@pytest.mark.parametrize("key", ["", "x" * 256, "caf\u00e9", "tab\tkey"])
def test_a_key_is_printable_ascii(api, account, product, key):
    headers = {**account.headers, "Idempotency-Key": key.encode("latin-1")}

    answer = api.post(PATH, json={"lines": lines((product, 1))}, headers=headers)

    assert (answer.status_code, list(answer.json())) == (400, ["Idempotency-Key"])
