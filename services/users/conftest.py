"""What the tests use."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest
from chassis.database import counts
from chassis.identity import tokens
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from rest_framework.test import APIClient
from users import services as users
from users.models import User

PASSWORD = "a-long-Passphrase-7"  # noqa: S105

_numbers = count(1)


@pytest.fixture(autouse=True)
def _signing_key(tmp_path: Path, settings) -> None:
    settings.TOKEN_KEY_FILE = _new_key(tmp_path / "key.pem")


@pytest.fixture(autouse=True)
def _no_counts(settings):
    """Each test begins with none; they are kept outside of its transaction."""
    settings.CHASSIS_COUNTS = "process"
    counts.memory.clear()


@pytest.fixture
def service_key(tmp_path: Path, settings) -> None:
    """A key with which services' tokens are signed, and which is trusted here."""
    settings.SERVICE_KEY_FILE = _new_key(tmp_path / "service.pem")


@pytest.fixture
def customer(db) -> User:
    return new_user()


@pytest.fixture
def superuser(db) -> User:
    return users.create_superuser(email="root@example.com", password=PASSWORD, full_name="Root")


@pytest.fixture
def anonymous() -> APIClient:
    return APIClient()


@pytest.fixture
def api(customer) -> APIClient:
    """A client in which the customer is logged in."""
    return client_of(customer)


def new_user() -> User:
    return users.register(email=f"user-{next(_numbers)}@example.com", password=PASSWORD, full_name="Ada Example")


def client_of(user: User) -> APIClient:
    return with_token(tokens.issue(user).access)


def with_token(token: str) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    return client


def _new_key(path: Path) -> str:
    key = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(key)
    return str(path)
