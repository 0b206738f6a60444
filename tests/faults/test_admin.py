"""The monolith's admin while users live in the service: it opens, shows users, and changes what stays."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from tests.faults.shop import MONOLITH, SERVICE, Shop

STAFF = {"username": "staff@example.com", "password": "journey-2017"}
LOGIN = "/admin/login/"


@pytest.fixture
def moved(shop: Shop) -> Shop:
    shop.owned_by(SERVICE)
    return shop


@contextmanager
def staff(shop: Shop) -> Iterator[httpx.Client]:
    """A browser in which the member of staff is logged in; the gateway lets nobody there."""
    assert httpx.get(shop.gateway + LOGIN, timeout=60).status_code == 404
    with httpx.Client(base_url=shop.stack.environment()["addresses"]["monolith"], timeout=60) as browser:
        form = STAFF | token(browser.get(LOGIN))
        answer = browser.post(LOGIN, params={"next": "/admin/"}, data=form)
        assert (answer.status_code, answer.headers.get("location")) == (302, "/admin/"), answer.text
        yield browser


def token(page: httpx.Response) -> dict[str, str]:
    """What a form sends beside its fields."""
    assert page.status_code == 200, page.text
    found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
    assert found
    return {"csrfmiddlewaretoken": found[1]}


def test_staff_logs_in_and_sees_the_users(moved: Shop) -> None:
    with staff(moved) as browser, moved.customer() as customer:
        listed = browser.get("/admin/users/user/", params={"q": "household-1@example.com"})
        shown = browser.get(f"/admin/users/user/{_user(moved)}/change/")
        assert customer.id

    assert "household-1@example.com" in listed.text
    assert shown.status_code == 200
    assert 'name="full_name"' not in shown.text


def test_users_can_be_neither_added_nor_changed_nor_deleted_there(moved: Shop) -> None:
    user = _user(moved)
    with staff(moved) as browser:
        form = token(browser.get("/admin/users/user/"))
        asked = [browser.get("/admin/users/user/add/"), browser.get(f"/admin/users/user/{user}/delete/")]
        changed = browser.post(f"/admin/users/user/{user}/change/", data={"full_name": "Mallory", **form})
        deleted = browser.post(f"/admin/users/user/{user}/delete/", data={"post": "yes", **form})

    assert [answer.status_code for answer in [*asked, changed, deleted]] == [403] * 4
    for side in (MONOLITH, SERVICE):
        assert moved.ask(side, "SELECT full_name <> 'Mallory' FROM users_user WHERE id = %s", user) is True


def test_orders_are_changed_there_as_ever(moved: Shop) -> None:
    with moved.customer() as customer:
        order = customer.order(moved.some_product())["id"]

    with staff(moved) as browser:
        path = f"/admin/orders/order/{order}/change/"
        page = browser.get(path)
        fields = dict(re.findall(r'<input type="hidden" name="([\w-]+)" value="([^"]*)"', page.text))
        saved = browser.post(path, data={**fields, **token(page), "ship_to": "1 Admin Street", "_save": "Save"})

    assert saved.status_code == 302, saved.text
    assert moved.ask(MONOLITH, "SELECT ship_to FROM orders_order WHERE id = %s", order) == "1 Admin Street"


def _user(shop: Shop) -> int:
    found: int = shop.ask(MONOLITH, "SELECT id FROM users_user WHERE email = 'household-1@example.com'")
    return found
