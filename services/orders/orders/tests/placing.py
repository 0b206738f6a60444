"""Places an order and looks at it, as a client does."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from rest_framework.response import Response
from rest_framework.test import APIClient


def place(client: APIClient, *lines: tuple[int, int], key: str | None = None, wait: int = 0, **more: Any) -> Response:
    """Places an order without waiting for its outcome, which in a test comes with the pump."""
    body = {"lines": [{"product_id": pk, "quantity": quantity} for pk, quantity in lines]} | more
    headers = {"Idempotency-Key": key or str(uuid4()), "Prefer": f"wait={wait}"}
    return client.post("/api/v1/orders", body, headers=headers)


def look(client: APIClient, order: int) -> dict[str, Any]:
    return client.get(f"/api/v1/orders/{order}").json()


def cancel(client: APIClient, order: int, *, wait: int = 0) -> Response:
    return client.post(f"/api/v1/orders/{order}/cancel", headers={"Prefer": f"wait={wait}"})
