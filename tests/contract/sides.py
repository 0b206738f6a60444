"""The two sides that the suite compares, and an account on either.

``MONOLITH_URL`` and ``USERS_URL`` are the base addresses of two running processes with databases of
their own, no gateway between; ``MONOLITH_DATABASE_URL`` and ``USERS_DATABASE_URL`` are those databases.
Throttling must be wide open: the suite registers an account a test.
"""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass

import httpx
import psycopg
import pytest

SIDES = {"monolith": "MONOLITH_URL", "service": "USERS_URL"}
DATABASES = {"monolith": "MONOLITH_DATABASE_URL", "service": "USERS_DATABASE_URL"}
PASSWORD = "a-long-Passphrase-7"


@dataclass(frozen=True)
class Account:
    """A registered user and the means to act as one."""

    id: int
    email: str
    access: str
    refresh: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.access}"}


def connect(side: str) -> httpx.Client:
    """A client of one side; skips the test, with the reason, where its address is not given."""
    return httpx.Client(base_url=given(SIDES[side]), timeout=10, follow_redirects=False)


def database(side: str) -> psycopg.Connection:
    """A session in the database of one side, or a skip."""
    return psycopg.connect(given(DATABASES[side]), autocommit=True)


def given(variable: str) -> str:
    value = os.environ.get(variable)
    if not value:
        pytest.skip(f"{variable} is not set: give it the address of a running process or server")
    return value


def fresh_email() -> str:
    return f"contract-{uuid.uuid4().hex[:12]}@example.org"


def sign_up(api: httpx.Client, email: str) -> Account:
    """Registers and logs in."""
    registration = {"email": email, "password": PASSWORD, "full_name": "Ada Example"}
    registered = api.post("/api/v1/users", json=registration)
    assert registered.status_code == 201, registered.text
    login = api.post("/api/v1/auth/token", json={"email": email, "password": PASSWORD})
    assert login.status_code == 200, login.text
    return Account(id=registered.json()["id"], email=email, **login.json())
