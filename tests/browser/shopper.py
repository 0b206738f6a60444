"""What a customer does at the storefront."""

from __future__ import annotations

import re
from uuid import uuid4

from tests.browser.chromium import Visit

PASSWORD = "Grocery-list-91"


class Shopper:
    """Does as a person would: by what is written on the page."""

    def __init__(self, visit: Visit) -> None:
        self.visit = visit
        self.page = visit.page
        self.ordered: list[str] = []

    def register(self, name: str = "Ada Lovelace") -> None:
        self.visit.go("/register?next=/")
        self.page.get_by_label("Your name").fill(name)
        self.page.get_by_label("Email").fill(f"{uuid4().hex}@example.com")
        self.page.get_by_label("Password").fill(PASSWORD)
        self.visit.press("Register")
        self.page.get_by_text(f"Welcome, {name}.").wait_for()

    def find(self, word: str) -> None:
        """Types into the search, and waits until the list is of it."""
        self.visit.go("/")
        self.page.get_by_label("Search").fill(word)
        self.page.wait_for_url(re.compile(f"search={word}"))
        self.page.locator("#results .name", has_text=re.compile(word, re.IGNORECASE)).first.wait_for()

    def put_into_cart(self, word: str = "milk", pieces: int = 1) -> None:
        """The first thing that is found and is there."""
        self.find(word)
        self.page.locator(".card:not(:has(em)) a").first.click()
        self.page.get_by_label("Quantity").fill(str(pieces))
        self.visit.press("Add to cart")
        self.page.locator("#told", has_text="Added to your cart.").wait_for()

    def check_out(self) -> str:
        """Orders what is in the cart; returns the order's number."""
        self.visit.go("/cart")
        self.visit.press("Order now")
        self.page.wait_for_url(re.compile(r"/orders/\d+$"))
        number = self.page.url.rpartition("/")[2]
        self.ordered.append(number)
        return number

    def buy(self, word: str = "milk", pieces: int = 1) -> str:
        self.put_into_cart(word, pieces)
        return self.check_out()

    def is_confirmed(self) -> None:
        """Waits until the order on the page is; the page asks by itself."""
        self.page.locator("#order .status", has_text="confirmed").wait_for()

    def history(self) -> list[str]:
        """The numbers of all orders, newest first."""
        self.visit.go("/orders")
        names = self.page.locator(".orders .name").all_inner_texts()
        return [name.removeprefix("Order ") for name in names]
