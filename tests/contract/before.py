"""What the monolith did while it owned everything; the second stage holds the services against it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from tests.contract import purchases
from tests.contract.conversation import Answer, play, target
from tests.contract.conversations import CONVERSATIONS
from tests.contract.goods import Shelf
from tests.contract.people import Account, fresh_email, sign_up
from tests.contract.rows import row_after_login
from tests.contract.sides import GATEWAY, MONOLITH, Shop

CATALOGUE = "/api/v1/products?page_size=5&ordering=price"

Transcripts = Mapping[str, Sequence[Answer]]


@dataclass(frozen=True)
class Bargain:
    """A customer's order, and the delivery of its product; each with the key that it was asked with."""

    account: Account
    product: dict[str, Any]
    key: str
    order: dict[str, Any]
    delivery: dict[str, Any]


@dataclass(frozen=True)
class Before:
    """Transcripts by side and capability, and what somebody may still hold when everything has moved."""

    transcripts: Mapping[str, Transcripts]
    account: Account
    keys: dict[str, Any]
    row: dict[str, Any]
    page: str  # the address of the catalogue's second page
    second_page: list[dict[str, Any]]
    bargain: Bargain


def record(shop: Shop, staff: Account) -> Before:
    """Asks the monolith, by itself and through the gateway."""
    with shop.connect(MONOLITH) as api:
        page = target(api.get(CATALOGUE).json()["next"])
        return Before(
            transcripts={side: transcripts(shop, side, staff) for side in (MONOLITH, GATEWAY)},
            account=sign_up(api, fresh_email()),
            keys=api.get("/.well-known/jwks.json").json(),
            row=row_after_login(shop, MONOLITH),
            page=page,
            second_page=api.get(page).json()["results"],
            bargain=_bargain(api, staff),
        )


def transcripts(shop: Shop, side: str, staff: Account) -> Transcripts:
    """The side's answers in every conversation."""
    return {capability: play(shop, side, capability, steps, staff) for capability, steps in CONVERSATIONS.items()}


def _bargain(api: httpx.Client, staff: Account) -> Bargain:
    account, product, key = sign_up(api, fresh_email()), Shelf(api, staff).add(stock=10), purchases.fresh_key()
    order = purchases.place(api, account, (product, 3), key=key)
    return Bargain(account, product, key, order.json(), deliver(api, staff, product, key).json())


def deliver(api: httpx.Client, staff: Account, product: Mapping[str, Any], key: str) -> httpx.Response:
    """Five more of the product."""
    headers = {**staff.headers, "Idempotency-Key": key}
    return api.post(f"/api/v1/products/{product['id']}/stock", json={"delta": 5}, headers=headers)
