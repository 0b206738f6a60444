"""What the tests use."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from chassis.identity import tokens
from chassis.identity.principals import Principal
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.test import override_settings
from products import services as products
from products.models import Category, Product
from rest_framework.test import APIClient

_numbers = count(1)


class Accounts:
    """The service that has the accounts, as this one sees it: it signs tokens, and publishes its keys."""

    def __init__(self, key_file: Path) -> None:
        self._key_file = new_key(key_file)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._publication())
        self.url = f"http://127.0.0.1:{self._server.server_port}/.well-known/jwks.json"

    def __enter__(self) -> Accounts:
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def token(self, who: Principal) -> str:
        with override_settings(TOKEN_KEY_FILE=str(self._key_file)):
            return tokens.issue(who).access

    def _publication(self) -> type[BaseHTTPRequestHandler]:
        with override_settings(TOKEN_KEY_FILE=str(self._key_file)):
            published = json.dumps(tokens.jwks()).encode()

        class Publication(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(published)))
                self.end_headers()
                self.wfile.write(published)

            def log_message(self, *arguments: object) -> None:
                pass

        return Publication


@pytest.fixture(scope="session")
def accounts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Accounts]:
    with Accounts(tmp_path_factory.mktemp("accounts") / "key.pem") as accounts:
        yield accounts


@pytest.fixture(autouse=True)
def _published_keys(settings, accounts) -> None:
    settings.CHASSIS_JWKS_URL = accounts.url


@pytest.fixture
def service_api(tmp_path, settings) -> APIClient:
    """A client in which another service is logged in."""
    settings.SERVICE_KEY_FILE = str(new_key(tmp_path / "service.pem"))
    return with_token(tokens.issue_service("products", "orders"))


@pytest.fixture
def customer(db) -> Principal:
    return Principal(pk=next(_numbers))


@pytest.fixture
def staff(db) -> Principal:
    return Principal(pk=next(_numbers), is_staff=True)


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
def api(accounts, customer) -> APIClient:
    """A client in which the customer is logged in."""
    return with_token(accounts.token(customer))


@pytest.fixture
def staff_api(accounts, staff) -> APIClient:
    return with_token(accounts.token(staff))


def with_token(token: str) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    return client


def new_key(path: Path) -> Path:
    key = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(key)
    return path
