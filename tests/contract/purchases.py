"""Orders as customers place them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import httpx

from tests.contract.people import Account

PATH = "/api/v1/orders"
PATIENCE = {"Prefer": "wait=30"}


def fresh_key() -> str:
    return f"contract-{uuid.uuid4()}"


def lines(*wishes: tuple[Mapping[str, Any], int]) -> list[dict[str, int]]:
    """So many of each product."""
    return [{"product_id": product["id"], "quantity": quantity} for product, quantity in wishes]


def place(
    api: httpx.Client, account: Account, *wishes: tuple[Mapping[str, Any], int], key: str | None = None, **fields: Any
) -> httpx.Response:
    """The answer to an order, which is decided by then; with a new key unless one is given."""
    headers = {**account.headers, **PATIENCE, "Idempotency-Key": key or fresh_key()}
    return api.post(PATH, json={"lines": lines(*wishes), **fields}, headers=headers)


def cancel(api: httpx.Client, account: Account, order: Mapping[str, Any]) -> httpx.Response:
    return api.post(f"{PATH}/{order['id']}/cancel", headers={**account.headers, **PATIENCE})
