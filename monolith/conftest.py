"""What the tests of all apps use."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from itertools import count
from typing import Any

import pytest
from chassis.database import counts
from chassis.identity import tokens
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from products import services as products
from products.models import Category, Product
from rest_framework.test import APIClient
from users import services as users
from users.models import User

PASSWORD = "a-long-Passphrase-7"  # noqa: S105

_numbers = count(1)


@pytest.fixture(autouse=True)
def _no_counts(settings):
    """Each test begins with none; they are kept outside of its transaction."""
    settings.CHASSIS_COUNTS = "process"
    counts.memory.clear()


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


@pytest.fixture
def service_key(tmp_path, settings) -> None:
    """A key with which services' tokens are signed, and which is trusted here."""
    key = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "service.pem").write_bytes(key)
    settings.SERVICE_KEY_FILE = str(tmp_path / "service.pem")


@pytest.fixture
def service_api(service_key) -> APIClient:
    """A client in which another service is logged in."""
    return with_token(tokens.issue_service("products", "orders"))


def new_user() -> User:
    return users.register(email=f"user-{next(_numbers)}@example.com", password=PASSWORD, full_name="Ada Example")


def client_of(user: User) -> APIClient:
    return with_token(tokens.issue(user).access)


def with_token(token: str) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    return client
