"""What the tests of all apps have at hand."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from itertools import count
from typing import Any

import pytest
from chassis import tokens
from django.core.cache import cache
from products import services as products
from products.models import Category, Product
from rest_framework.test import APIClient
from users import services as users
from users.models import User

PASSWORD = "a-long-Passphrase-7"  # noqa: S105

_numbers = count(1)


@pytest.fixture(autouse=True)
def _fresh_throttles():
    cache.clear()


@pytest.fixture
def customer(db) -> User:
    return new_user()


@pytest.fixture
def staff(db) -> User:
    return users.update_profile(user=new_user(), is_staff=True)


@pytest.fixture
def superuser(db) -> User:
    return users.create_superuser(email="root@example.com", password=PASSWORD, full_name="Root")


@pytest.fixture
def category(db) -> Category:
    return Category.objects.create(name="Dairy", slug="dairy")


@pytest.fixture
def new_product(db, staff, category) -> Callable[..., Product]:
    def create(**fields: Any) -> Product:
        defaults = {"name": f"Product {next(_numbers)}", "price": Decimal("2.50"), "stock": 10}
        return products.create_product(by=staff, **({"category": category} | defaults | fields))

    return create


@pytest.fixture
def product(new_product) -> Product:
    return new_product(name="Whole Milk", brand="Meadow", size="1 L")


@pytest.fixture
def anonymous() -> APIClient:
    return APIClient()


@pytest.fixture
def api(customer) -> APIClient:
    """A client in which the customer is logged in."""
    return client_of(customer)


@pytest.fixture
def staff_api(staff) -> APIClient:
    return client_of(staff)


def new_user() -> User:
    return users.register(email=f"user-{next(_numbers)}@example.com", password=PASSWORD, full_name="Ada Example")


def client_of(user: User) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {tokens.issue(user).access}")
    return client
