"""What browsers and the gateway are told, and what they are not."""

from __future__ import annotations

import importlib
import re

import pytest
from conftest import listed
from django.core import signing
from django.test import RequestFactory

from storefront import clients
from storefront.cart import Cart

LOGIN = {"email": "ada@example.com", "password": "Grocery-list-91"}


@pytest.mark.parametrize("path", ["/", "/cart", "/login", "/nowhere", "/orders", "/products/7"])
def test_each_page_has_its_policy_and_is_kept_by_nobody(browser, api, path) -> None:
    page = browser.get(path)

    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
    assert "unsafe" not in page.headers["Content-Security-Policy"]
    assert "no-store" in page.headers["Cache-Control"]
    assert page.headers["X-Frame-Options"] == "DENY"
    assert page.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", ["/", "/cart", "/login", "/products/7"])
def test_no_page_has_a_script_or_a_style_of_its_own(browser, api, path) -> None:
    text = browser.get(path).text

    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", text)
    assert not re.search(r"(?:src|href)=\"(?:https?:)?//", text)


def test_files_are_kept_and_change_their_addresses_with_their_content(browser, api) -> None:
    address = re.search(r'href="(/static/storefront/style\.css\?v=\w{12})"', browser.get("/").text)[1]

    answer = browser.get(address)

    assert answer.status_code == 200
    assert "max-age=86400" in answer.headers["Cache-Control"]


def test_scripts_cannot_read_any_cookie_and_other_sites_do_not_send_them(ada) -> None:
    assert {"__Host-cart", "__Host-account"} <= set(ada.cookies)
    for name, morsel in ada.cookies.items():
        assert morsel["httponly"], name
        assert morsel["samesite"] == "Lax", name
        assert morsel["secure"], name
        assert not morsel["domain"], name


def test_a_cookie_that_somebody_has_changed_counts_for_nothing(browser, api) -> None:
    forged = signing.dumps(Cart({7: 2}).packed(), key="another", salt="storefront.cart")
    browser.cookies["__Host-cart"] = forged
    browser.cookies["__Host-account"] = "x:y:z"

    assert browser.get("/cart").context["lines"] == []
    assert browser.get("/orders").status_code == 302


def test_a_cookie_of_one_kind_is_none_of_another(browser, api) -> None:
    browser.cookies["__Host-account"] = signing.dumps(
        {"name": "", "access": "a", "refresh": "b"}, salt="storefront.cart"
    )

    assert browser.get("/orders").status_code == 302


def test_signed_nonsense_is_no_cart(browser, api) -> None:
    browser.cookies["__Host-cart"] = signing.dumps(["x"], salt="storefront.cart", compress=True)

    assert browser.get("/cart").status_code == 200


def test_reading_a_page_writes_no_cookie(browser, api) -> None:
    browser.get("/")

    assert "__Host-cart" not in browser.cookies
    assert "__Host-account" not in browser.cookies


def test_a_password_is_in_no_page_and_no_address(browser, api) -> None:
    answer = browser.post("/login", LOGIN)

    assert LOGIN["password"] not in answer.headers["Location"]
    assert LOGIN["password"] not in browser.cookies.output()


@pytest.mark.parametrize(
    ("hops", "forwarded", "expected"),
    [
        (0, "203.0.113.7", "192.0.2.1"),
        (1, "203.0.113.7", "203.0.113.7"),
        (1, "198.51.100.1, 203.0.113.7", "203.0.113.7"),
        (2, "198.51.100.1, 203.0.113.7", "198.51.100.1"),
        (2, "203.0.113.7", "192.0.2.1"),
        (1, "nonsense\r\nX: y", "192.0.2.1"),
        (1, "", "192.0.2.1"),
        (1, "2001:db8::1", "2001:db8::1"),
    ],
)
def test_the_visitors_address_is_believed_as_far_as_there_are_proxies(settings, hops, forwarded, expected) -> None:
    settings.STOREFRONT_TRUSTED_HOPS = hops
    request = RequestFactory().get("/", headers={"x-forwarded-for": forwarded}, REMOTE_ADDR="192.0.2.1")

    assert clients.of(request) == expected


@pytest.mark.parametrize(("hops", "told"), [(0, "192.0.2.1"), (1, "192.0.2.1"), (2, "192.0.2.1, 192.0.2.1")])
def test_the_gateway_is_told_the_address_where_it_looks_for_it(browser, api, settings, hops, told) -> None:
    settings.GATEWAY_TRUSTED_HOPS = hops

    browser.get("/", REMOTE_ADDR="192.0.2.1")

    assert api.asked[0].headers["x-forwarded-for"] == told
    assert api.asked[0].headers["x-forwarded-proto"] == "http"


def test_the_gateway_can_follow_a_request(browser, api) -> None:
    browser.get("/", headers={"X-Request-Id": "one-visit"})

    assert {each.headers["x-request-id"] for each in api.asked} == {"one-visit"}


def test_the_ribbon_shows_who_answered_and_only_where_it_is_wanted(browser, api, settings) -> None:
    api.give("GET", "/api/v1/products", (200, listed(), {"x-strangler-side": "products/service"}))
    assert "ribbon" not in browser.get("/").text

    settings.RIBBON = True
    assert '<span>products <b class="service">service</b></span>' in browser.get("/").text


@pytest.mark.parametrize("told", ["-/-", "", "/", "products/-", "/monolith"])
def test_no_side_is_made_up(browser, api, settings, told) -> None:
    settings.RIBBON = True
    api.give(
        "GET", "/api/v1/products", (200, {"next": None, "previous": None, "results": []}, {"x-strangler-side": told})
    )

    assert "no side was asked" in browser.get("/").text


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_it_is_ready_whatever_the_gateway_does(browser, path) -> None:
    assert browser.get(path).status_code == 200


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/readyz"])
@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "Via"])
def test_who_comes_by_a_proxy_sees_no_metrics(browser, path, header) -> None:
    assert browser.get(path).status_code == 200
    assert browser.get(path, headers={header: "203.0.113.7"}).status_code == 404


def test_without_tls_the_cookies_have_other_names(monkeypatch) -> None:
    from config import settings

    monkeypatch.setenv("COOKIES_WITHOUT_TLS", "1")
    try:
        importlib.reload(settings)
        assert (settings.SECURE_COOKIES, settings.CSRF_COOKIE_NAME) == (False, "csrf")
    finally:
        monkeypatch.undo()
        importlib.reload(settings)


def test_more_proxies_than_anybody_has_are_refused(monkeypatch) -> None:
    from config import settings
    from django.core.exceptions import ImproperlyConfigured

    monkeypatch.setenv("STOREFRONT_TRUSTED_HOPS", "11")
    try:
        with pytest.raises(ImproperlyConfigured, match="STOREFRONT_TRUSTED_HOPS=11 is more than 10"):
            importlib.reload(settings)
    finally:
        monkeypatch.undo()
        importlib.reload(settings)
