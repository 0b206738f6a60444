"""Those who ask: customers who register, and the staff of the sample data."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

import httpx

from tests.scenario.account import HOUSEHOLD_PASSWORD
from tests.scenario.upkeep import STAFF_EMAIL

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


def fresh_email() -> str:
    return f"contract-{uuid.uuid4().hex[:12]}@example.org"


def sign_up(api: httpx.Client, email: str) -> Account:
    """Registers and logs in."""
    registration = {"email": email, "password": PASSWORD, "full_name": "Ada Example"}
    registered = api.post("/api/v1/users", json=registration)
    assert registered.status_code == 201, registered.text
    return log_in(api, email, PASSWORD)


def staff(api: httpx.Client) -> Account:
    return log_in(api, STAFF_EMAIL, HOUSEHOLD_PASSWORD)


def log_in(api: httpx.Client, email: str, password: str) -> Account:
    login = api.post("/api/v1/auth/token", json={"email": email, "password": password})
    assert login.status_code == 200, login.text
    tokens = login.json()
    me = api.get("/api/v1/users/me", headers={"Authorization": f"Bearer {tokens['access']}"})
    return Account(id=me.json()["id"], email=email, **tokens)
