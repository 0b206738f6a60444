"""A visit, page by page, without scripts."""

from __future__ import annotations

from http.cookies import SimpleCookie

import pytest
from conftest import MILK, listed, order
from django.test import Client


def test_the_first_page_has_products_and_departments(browser, api) -> None:
    page = browser.get("/")

    assert page.status_code == 200
    for text in ("Whole Milk", "$2.50", "Dairy"):
        assert text in page.text


def test_what_is_looked_for_is_asked_of_the_interface(browser, api) -> None:
    browser.get("/", {"search": "milk & more", "category": "dairy", "ordering": "-price"})

    [asked] = api.of("GET", "/api/v1/products")
    assert asked.query == {"search": "milk & more", "category": "dairy", "ordering": "-price", "page_size": "24"}


def test_what_cannot_be_meant_is_not_asked(browser, api) -> None:
    page = browser.get("/", {"category": "<b>", "ordering": "password"})

    assert page.status_code == 200
    assert api.of("GET", "/api/v1/products")[0].query == {"page_size": "24", "ordering": "id"}


def test_a_department_shows_its_shelves(browser, api) -> None:
    page = browser.get("/?category=dairy")

    assert 'href="/?category=dairy-milk"' in page.text
    assert "<h1>Dairy</h1>" in page.text


def test_more_products_follow_by_the_cursor_alone(browser, api) -> None:
    api.give("GET", "/api/v1/products", listed(MILK, cursor="cD03"))
    page = browser.get("/?search=milk")
    assert 'href="/?search=milk&amp;cursor=cD03"' in page.text

    part = browser.get("/?search=milk&cursor=cD03", headers={"HX-Request": "true"})
    assert "<html" not in part.text
    assert "Whole Milk" in part.text
    assert api.asked[-1].query["cursor"] == "cD03"


def test_no_result_says_so(browser, api) -> None:
    api.give("GET", "/api/v1/products", listed())

    assert "Nothing was found for “xyz”" in browser.get("/?search=xyz").text


@pytest.mark.parametrize(("stock", "told"), [(0, "Sold out"), (3, "Only 3 left"), (40, "In stock")])
def test_a_product_says_whether_it_is_there(browser, api, stock, told) -> None:
    api.give("GET", "/api/v1/products/7", {**MILK, "stock": stock})

    page = browser.get("/products/7")

    assert told in page.text
    assert ("Add to cart" in page.text) == (stock > 0)


def test_what_the_interface_answers_cannot_write_html(browser, api) -> None:
    api.give("GET", "/api/v1/products", listed({**MILK, "name": "<script>x</script>"}))

    assert "<script>x" not in browser.get("/").text


def test_a_cart_has_todays_prices(browser, api) -> None:
    browser.post("/cart/add/7", {"pieces": 3})

    page = browser.get("/cart")

    assert "$7.50" in page.text
    assert "Log in to order" in page.text


def test_a_cart_says_what_is_short(browser, api) -> None:
    browser.post("/cart/add/7", {"pieces": 6})

    assert "only 5 left" in browser.get("/cart").text


def test_what_is_no_longer_sold_leaves_the_cart(browser, api) -> None:
    browser.post("/cart/add/7", {"pieces": 1})
    api.give("GET", "/api/v1/products/7", (404, {"detail": "Not found."}, {}))

    assert "no longer sold" in browser.get("/cart").text
    assert "There is nothing in it yet" in browser.get("/cart").text


@pytest.mark.parametrize("pieces", ["", "x", "-1", "100"])
def test_a_number_of_pieces_that_is_none_changes_nothing(browser, api, pieces) -> None:
    browser.post("/cart/add/7", {"pieces": 2})

    browser.post("/cart/pieces/7", {"pieces": pieces})

    assert browser.get("/cart").context["lines"][0]["pieces"] == 2


def test_pieces_are_changed_and_taken_out(browser, api) -> None:
    browser.post("/cart/add/7", {"pieces": 2})
    browser.post("/cart/pieces/7", {"pieces": 4})
    assert browser.get("/cart").context["lines"][0]["pieces"] == 4

    browser.post("/cart/pieces/7", {"pieces": 0})
    assert browser.get("/cart").context["lines"] == []


def test_htmx_gets_the_new_number_and_stays(browser, api) -> None:
    part = browser.post("/cart/add/7", {"pieces": 2}, headers={"HX-Request": "true"})

    assert 'hx-swap-oob="true"' in part.text
    assert "Added to your cart." in part.text


def test_an_order_is_what_is_in_the_cart(ada, api, key_of) -> None:
    key = key_of(ada)

    answer = ada.post("/checkout", {"key": key})

    assert answer.headers["Location"] == "/orders/41"
    [asked] = api.of("POST", "/api/v1/orders")
    assert asked.body == {"lines": [{"product_id": 7, "quantity": 2}]}
    assert asked.headers["idempotency-key"] == key
    assert asked.headers["authorization"] == "Bearer access-1"
    assert "There is nothing in it yet" in ada.get("/cart").text


def test_the_second_of_two_clicks_finds_the_order(ada, api, key_of) -> None:
    key = key_of(ada)
    ada.post("/checkout", {"key": key})

    answer = ada.post("/checkout", {"key": key})

    assert answer.headers["Location"] == "/orders/41"
    assert len(api.of("POST", "/api/v1/orders")) == 1


def test_two_clicks_at_once_ask_under_one_key(ada, api, key_of) -> None:
    key = key_of(ada)
    other = Client(HTTP_HOST="localhost")
    other.cookies = SimpleCookie(ada.cookies)

    ada.post("/checkout", {"key": key})
    other.post("/checkout", {"key": key})

    assert [each.headers["idempotency-key"] for each in api.of("POST", "/api/v1/orders")] == [key, key]


def test_a_form_of_another_cart_orders_nothing(ada, api, key_of) -> None:
    key = key_of(ada)
    ada.post("/cart/add/7", {"pieces": 1})

    answer = ada.post("/checkout", {"key": key}, follow=True)

    assert "has changed meanwhile" in answer.text
    assert not api.of("POST", "/api/v1/orders")


def test_a_rejected_order_leaves_the_cart_for_another_try(ada, api, key_of) -> None:
    api.give("POST", "/api/v1/orders", (201, order("rejected"), {}))
    api.give("GET", "/api/v1/orders/41", order("rejected"))
    key = key_of(ada)

    page = ada.post("/checkout", {"key": key}, follow=True)

    assert "Nothing was charged" in page.text
    assert key_of(ada) != key
    assert ada.get("/cart").context["lines"]


def test_an_open_order_is_asked_for_again(ada, api) -> None:
    api.give("GET", "/api/v1/orders/41", order("pending"))
    assert 'hx-trigger="every 2s"' in ada.get("/orders/41").text

    api.give("GET", "/api/v1/orders/41", order("confirmed"))
    part = ada.get("/orders/41", headers={"HX-Request": "true"})
    assert "every 2s" not in part.text
    assert "<html" not in part.text


def test_the_history_leads_to_each_order(ada, api) -> None:
    page = ada.get("/orders")

    assert 'href="/orders/41"' in page.text
    assert "3 February 2026" in page.text


def test_an_order_is_cancelled(ada, api) -> None:
    page = ada.post("/orders/41/cancel", follow=True)

    assert "Your order is cancelled." in page.text


def test_an_order_that_can_no_longer_be_cancelled_says_so(ada, api) -> None:
    refused = {"detail": "An order that is shipped cannot become cancelled."}
    api.give("POST", "/api/v1/orders/41/cancel", (409, refused, {}))

    assert "can no longer be cancelled" in ada.post("/orders/41/cancel", follow=True).text


@pytest.mark.parametrize("path", ["/cart/add/7", "/checkout", "/logout", "/orders/41/cancel"])
def test_nothing_is_done_by_get(browser, api, path) -> None:
    assert browser.get(path).status_code == 405
