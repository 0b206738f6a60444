"""The pages themselves: for each eye, each hand and each screen, and when something is wrong."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable

import pytest

from tests.browser.chromium import DESK, PHONE, Visit
from tests.browser.shopper import PASSWORD, Shopper
from tests.stack import Stack
from tests.waiting import eventually

DARK, LIGHT = "dark", "light"
TROUBLE = "The shop"  # each sentence about trouble begins so
OPEN = ("/", "/?search=milk", "/?search=nothing-has-this-name", "/login", "/register", "/cart", "/nowhere")


@pytest.mark.parametrize("scheme", [LIGHT, DARK])
@pytest.mark.parametrize("window", [DESK, PHONE], ids=["desk", "phone"])
def test_axe_finds_nothing_and_no_page_is_wider_than_the_screen(
    visit: Callable[..., Visit], scheme: str, window: dict[str, int]
) -> None:
    seen = visit(color_scheme=scheme, viewport=window)
    shopper = Shopper(seen)
    found: dict[str, list[str]] = {}

    def look(name: str) -> None:
        if trouble := seen.violations():
            found[name] = trouble
        assert seen.width() <= window["width"], name
        seen.shoot("-".join([*(re.findall(r"\w+", name)[:2] or ["start"]), scheme, str(window["width"])]))

    for path in OPEN:
        seen.go(path)
        look(path)
    shopper.put_into_cart(pieces=2)
    look("product")
    seen.go("/cart")
    look("cart-unknown")
    seen.go("/register")
    seen.press("Register")
    look("register-refused")
    shopper.register()
    shopper.put_into_cart("bread", 3)
    seen.go("/cart")
    look("cart-full")
    shopper.check_out()
    shopper.is_confirmed()
    look("order")
    shopper.page.get_by_text("Cancel this order").click()
    look("order-cancelling")
    seen.go("/orders")
    look("orders")

    assert found == {}
    assert seen.complaints == []
    assert seen.elsewhere == []


def test_dark_is_dark(visit: Callable[..., Visit]) -> None:
    papers = {}
    for scheme in (LIGHT, DARK):
        seen = visit(color_scheme=scheme)
        seen.go("/")
        painted = seen.page.evaluate("getComputedStyle(document.body).backgroundColor")
        papers[scheme] = sum(int(each) for each in re.findall(r"\d+", painted)[:3])

    assert papers[DARK] < 150 < 600 < papers[LIGHT]


def test_everything_is_done_by_keyboard_alone(visit: Callable[..., Visit]) -> None:
    seen = visit()
    Shopper(seen).register()
    page = seen.page
    seen.go("/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"

    _tab_to(seen, "#search")
    page.keyboard.type("milk")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("search=milk"))
    page.locator("#results .name", has_text=re.compile("milk", re.IGNORECASE)).first.wait_for()
    _tab_to(seen, ".card a")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/products/\d+"))
    _tab_to(seen, "#pieces")
    page.keyboard.press("ArrowUp")
    _tab_to(seen, ".buy button")
    page.keyboard.press("Enter")
    page.locator("#cart-link b", has_text="2").wait_for()
    seen.go("/cart")
    _tab_to(seen, ".total button")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/orders/\d+"))
    page.locator("#order .status", has_text="confirmed").wait_for()
    _tab_to(seen, ".cancel summary")
    page.keyboard.press("Enter")
    _tab_to(seen, ".cancel button")
    page.keyboard.press("Space")
    page.locator("#order .status", has_text="cancelled").wait_for()

    assert seen.complaints == []


def test_a_double_click_orders_once(shopper: Shopper) -> None:
    shopper.register()
    shopper.put_into_cart()
    shopper.visit.go("/cart")

    shopper.page.get_by_role("button", name="Order now").dblclick()
    shopper.page.wait_for_url(re.compile(r"/orders/\d+"))

    assert len(shopper.history()) == 1


def test_one_shops_without_scripts_too(visit: Callable[..., Visit]) -> None:
    seen = visit(java_script_enabled=False)
    page = seen.page
    seen.go("/register?next=/")
    page.get_by_label("Your name").fill("Grace")
    page.get_by_label("Email").fill(f"grace-{os.urandom(6).hex()}@example.com")
    page.get_by_label("Password").fill(PASSWORD)
    seen.press("Register")
    page.get_by_label("Search").fill("milk")
    seen.press("Search")
    page.locator(".card:not(:has(em)) a").first.click()
    seen.press("Add to cart")
    seen.press("Order now")

    page.wait_for_url(re.compile(r"/orders/\d+"))


def test_more_is_shown_where_the_list_ends(visit: Callable[..., Visit]) -> None:
    seen = visit()
    seen.go("/")
    before = seen.page.locator(".card").count()

    seen.page.get_by_role("link", name="Show more").click()

    eventually(lambda: seen.page.locator(".card").count() > before, "more products")
    assert seen.page.get_by_role("link", name="Show more").count() == 1


def test_the_way_back_shows_what_was_there(shopper: Shopper) -> None:
    shopper.find("milk")
    shopper.page.locator(".card a").first.click()
    shopper.page.wait_for_url(re.compile(r"/products/\d+"))

    shopper.page.go_back()

    shopper.page.locator("#results .name", has_text=re.compile("milk", re.IGNORECASE)).first.wait_for()
    assert shopper.page.get_by_label("Search").input_value() == "milk"


def test_a_gateway_that_stands_still_is_a_page_and_the_cart_stays(stack: Stack, shopper: Shopper) -> None:
    shopper.register()
    shopper.put_into_cart()
    gateway = stack.pid("gateway")
    os.kill(gateway, signal.SIGSTOP)
    try:
        status = shopper.visit.go("/orders")
        shopper.visit.shoot("silent")
    finally:
        os.kill(gateway, signal.SIGCONT)

    assert status == 503
    assert shopper.page.get_by_role("alert").inner_text().startswith(TROUBLE)
    assert shopper.visit.violations() == []
    shopper.page.get_by_role("link", name="Try again").click()
    shopper.page.get_by_text("You have not ordered anything yet.").wait_for()
    shopper.check_out()
    shopper.is_confirmed()


def test_a_killed_service_is_a_page_until_it_is_back(stack: Stack, shopper: Shopper) -> None:
    before = stack.pid("products")
    os.kill(before, signal.SIGKILL)

    def is_back() -> bool:
        status = shopper.visit.go("/?search=milk")
        if status != 200:
            assert status == 503
            assert shopper.page.get_by_role("alert").inner_text().startswith(TROUBLE)
        return status == 200 and stack.pids().get("products") not in (None, before)

    eventually(is_back, "the service is back")


def _tab_to(seen: Visit, selector: str) -> None:
    """Tab after tab until the element has the focus; each stop must be one that is seen."""
    for _ in range(120):
        seen.page.keyboard.press("Tab")
        if seen.page.evaluate("selector => document.activeElement.matches(selector)", selector):
            assert seen.page.evaluate("document.activeElement.matches(':focus-visible')"), selector
            return
    raise AssertionError(f"{selector} is not reached by Tab")
