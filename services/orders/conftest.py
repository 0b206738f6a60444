"""What the tests use."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from chassis.identity.principals import Principal
from chassis.sagas import ends
from chassis.testing.pump import Pump
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from orders.tests.neighbours import Neighbours
from orders.tests.warehouse import Warehouse
from rest_framework.test import APIClient

_numbers = count(1)


@pytest.fixture(scope="session")
def _keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("keys")
    return _new_key(folder / "accounts.pem"), _new_key(folder / "service.pem")


@pytest.fixture(scope="session")
def _gateway() -> Iterator[Neighbours]:
    with Neighbours() as neighbours:
        yield neighbours


@pytest.fixture(scope="session", autouse=True)
def _no_session_outlives_the_database(django_db_setup) -> Iterator[None]:
    yield
    ends.hang_up()


@pytest.fixture(autouse=True)
def neighbours(_gateway, _keys, settings, monkeypatch) -> Neighbours:
    """Users and products behind a gateway, empty at first."""
    accounts, service = _keys
    _gateway.reset(accounts)
    settings.SERVICE_KEY_FILE = service
    settings.CHASSIS_JWKS_URL = f"{_gateway.url}/.well-known/jwks.json"
    for module in ("orders.customers", "orders.shelves"):
        monkeypatch.setattr(f"{module}._client", _gateway.client)
    return _gateway


@pytest.fixture
def warehouse(neighbours) -> Warehouse:
    """The products side, with its stock."""
    return Warehouse(neighbours)


@pytest.fixture
def pump(db, warehouse) -> Pump:
    return Pump({"products": warehouse.handle})


@pytest.fixture
def customer() -> Principal:
    return new_customer()


@pytest.fixture
def anonymous() -> APIClient:
    return APIClient()


@pytest.fixture
def api(neighbours, customer) -> APIClient:
    """A client in which the customer is logged in."""
    return client_of(neighbours, customer)


def new_customer() -> Principal:
    return Principal(pk=next(_numbers))


def client_of(neighbours: Neighbours, customer: Principal) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {neighbours.token(customer)}")
    return client


def _new_key(path: Path) -> str:
    key = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(key)
    return str(path)
