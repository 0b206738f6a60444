"""A customer of the shop, as the gateway sees one."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import httpx

PASSWORD = "Grocery-list-91"
NAME = "Ada Example"

_numbers = itertools.count(1)


class Customer:
    """An account and the tokens that open it; every request must be answered as expected."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client
        self.email = f"fault-{next(_numbers)}-{uuid4().hex[:8]}@example.org"
        self.id = 0
        self.access = ""
        self.refresh = ""

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self.access}"}

    def register(self) -> Customer:
        """Opens the account and logs in."""
        body = {"email": self.email, "password": PASSWORD, "full_name": NAME}
        self.id = self._ask("POST", "/api/v1/users", 201, json=body)["id"]
        return self.log_in()

    def log_in(self) -> Customer:
        pair = self._ask("POST", "/api/v1/auth/token", 200, json={"email": self.email, "password": PASSWORD})
        self.access, self.refresh = pair["access"], pair["refresh"]
        return self

    def rename(self, name: str) -> Any:
        return self._ask("PATCH", "/api/v1/users/me", 200, json={"full_name": name}, headers=self.headers)

    def add_address(self, line1: str, **more: Any) -> Any:
        return self._ask("POST", "/api/v1/users/me/addresses", 201, json=address(line1, **more), headers=self.headers)

    def order(self, product: int, **more: Any) -> Any:
        """A confirmed or rejected order of one piece."""
        body = {"lines": [{"product_id": product, "quantity": 1}], **more}
        return self._ask(
            "POST", "/api/v1/orders", 201, json=body, headers={**self.headers, "Idempotency-Key": uuid4().hex}
        )

    def leave(self) -> None:
        answer = self.client.delete("/api/v1/users/me", headers=self.headers)
        assert answer.status_code == 204, answer.text

    def _ask(self, method: str, path: str, expected: int, **parts: Any) -> Any:
        answer = self.client.request(method, path, **parts)
        assert answer.status_code == expected, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        return answer.json()


def address(line1: str, **more: Any) -> dict[str, Any]:
    """The body of a new address."""
    return {"line1": line1, "line2": "", "city": "Dayton", "postal_code": "45001", "country": "US", **more}
