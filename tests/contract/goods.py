"""Products that a test puts on the shelves for itself, through the gateway as the staff would."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from tests.contract.people import Account

PATH = "/api/v1/products"
# Sorts behind the sample's products by name, and amid them by price.
GOODS = {"name": "Zzz contract goods", "brand": "Zzz", "price": "12.34"}


@dataclass(frozen=True)
class Shelf:
    """The catalogue as the staff sees it; the present owner answers."""

    gateway: httpx.Client
    staff: Account

    def add(self, *, stock: int = 100, **fields: Any) -> dict[str, Any]:
        """A new product."""
        body = {**GOODS, "stock": stock, **fields}
        answer = self.gateway.post(PATH, json=body, headers=self.staff.headers)
        assert answer.status_code == 201, answer.text
        product: dict[str, Any] = answer.json()
        return product

    def change(self, product: Mapping[str, Any], **fields: Any) -> None:
        answer = self.gateway.patch(f"{PATH}/{product['id']}", json=fields, headers=self.staff.headers)
        assert answer.status_code == 200, answer.text

    def stock(self, product: Mapping[str, Any]) -> int:
        """How many are left."""
        left: int = self.gateway.get(f"{PATH}/{product['id']}").json()["stock"]
        return left


def unique(word: str) -> str:
    """A name that no other product has, in one word."""
    return f"{word}{uuid.uuid4().hex[:12]}"
