"""Who a visitor is, and for how long."""

from __future__ import annotations

import pytest
from django.test import Client

LOGIN = {"email": "ada@example.com", "password": "Grocery-list-91"}


def test_who_registers_is_logged_in(browser, api) -> None:
    page = browser.post("/register", {**LOGIN, "full_name": "Ada Lovelace"}, follow=True)

    assert "Welcome, Ada Lovelace." in page.text
    assert api.of("POST", "/api/v1/users")[0].body == {**LOGIN, "full_name": "Ada Lovelace"}


def test_what_the_interface_refuses_stands_at_its_field(browser, api) -> None:
    api.give("POST", "/api/v1/users", (400, {"email": ["A user with this email already exists."]}, {}))

    page = browser.post("/register", {**LOGIN, "full_name": "Ada"})

    assert page.status_code == 400
    assert page.context["form"].errors["email"] == ["A user with this email already exists."]
    assert "Grocery-list-91" not in page.text


def test_a_wrong_password_is_told_in_a_sentence(browser, api) -> None:
    api.give("POST", "/api/v1/auth/token", (401, {"detail": "No active account …"}, {}))

    page = browser.post("/login", LOGIN)

    assert page.status_code == 401
    assert "No account has this email and this password." in page.text


def test_too_many_tries_say_how_long_to_wait(browser, api) -> None:
    api.give("POST", "/api/v1/auth/token", (429, {"detail": "Request was throttled."}, {"Retry-After": "42"}))

    page = browser.post("/login", LOGIN)

    assert page.status_code == 429
    assert "try again in 42 seconds" in page.text


def test_half_an_entrance_is_none(browser, api) -> None:
    api.give("GET", "/api/v1/users/me", (503, {"detail": "busy"}, {}))

    browser.post("/login", LOGIN)

    assert "account" not in _names(browser)


def test_an_old_token_is_renewed_unseen(ada, api) -> None:
    def only_new(asked):
        is_new = asked.headers["authorization"] == "Bearer access-2"
        return {"next": None, "previous": None, "results": []} if is_new else (401, {"detail": "expired"}, {})

    api.give("GET", "/api/v1/orders", only_new)

    assert ada.get("/orders").status_code == 200
    assert ada.get("/orders").status_code == 200
    [asked] = api.of("POST", "/api/v1/auth/refresh")
    assert asked.body == {"refresh": "refresh-1"}
    assert "authorization" not in asked.headers


def test_who_was_away_for_too_long_logs_in_and_comes_back(ada, api) -> None:
    api.give("GET", "/api/v1/orders", (401, {"detail": "expired"}, {}))
    api.give("POST", "/api/v1/auth/refresh", (401, {"detail": "expired"}, {}))

    answer = ada.get("/orders")

    assert answer.headers["Location"] == "/login?next=%2Forders"
    assert "account" not in _names(ada)
    assert ada.get("/cart").context["lines"], "the cart stays"


def test_pages_of_an_account_ask_for_a_login(browser, api) -> None:
    assert browser.get("/orders").headers["Location"] == "/login?next=%2Forders"
    assert browser.get("/orders", headers={"HX-Request": "true"}).headers["HX-Redirect"].startswith("/login")


@pytest.mark.parametrize("wanted", ["https://elsewhere.example", "//elsewhere.example", "javascript:alert(1)", "cart"])
def test_a_login_leads_nowhere_else(browser, api, wanted) -> None:
    assert browser.post("/login", {**LOGIN, "next": wanted}).headers["Location"] == "/"


def test_logging_out_forgets_account_and_cart(ada, api) -> None:
    ada.post("/logout")

    assert "account" not in _names(ada)
    assert ada.get("/cart").context["lines"] == []


def test_a_form_without_its_token_does_nothing(api) -> None:
    strict = Client(HTTP_HOST="localhost", enforce_csrf_checks=True)

    answer = strict.post("/login", LOGIN)

    assert answer.status_code == 403
    assert "This form is too old" in answer.text
    assert not api.of("POST", "/api/v1/auth/token")


def _names(browser: Client) -> set[str]:
    return {name.removeprefix("__Host-") for name, morsel in browser.cookies.items() if morsel.value}
