"""A conversation with one side: requests in their order, and the answers without what is new each time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx

from tests.contract.goods import Shelf
from tests.contract.people import Account, fresh_email, sign_up
from tests.contract.purchases import fresh_key, place
from tests.contract.sides import GATEWAY, Shop

NEW_EACH_TIME = frozenset({"id", "product_id", "created_at", "updated_at", "access", "refresh"})
HEADERS = ("allow", "cache-control", "content-type", "idempotent-replayed", "retry-after", "vary", "www-authenticate")
NOBODY, CUSTOMER, STAFF = "nobody", "customer", "staff"

Answer = dict[str, Any]


@dataclass(frozen=True)
class Step:
    """A request; ``{email}`` and the like stand for values of ``Cast``, ``{next}`` for the page after the last one.

    ``keeps`` names the id that is answered; in an ``exact`` step only the cursors may differ.
    """

    method: str
    path: str
    body: Any = None
    who: str = CUSTOMER
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    keeps: str = ""
    exact: bool = False

    def __str__(self) -> str:
        what = self.raw if self.raw is not None else self.body
        words = (self.method, self.path, *self.headers.values(), "" if what is None else str(what))
        return " ".join(words).strip()[:90]


def anonymous(method: str, path: str, body: Any = None, **more: Any) -> Step:
    return Step(method, path, body, who=NOBODY, **more)


def by_staff(method: str, path: str, body: Any = None, **more: Any) -> Step:
    return Step(method, path, body, who=STAFF, **more)


class Cast:
    """Who and what takes part in a conversation, made anew through the gateway; ``words`` stand for it in the steps."""

    def __init__(self, gateway: httpx.Client, staff: Account) -> None:
        shelf = Shelf(gateway, staff)
        customer, neighbour = (sign_up(gateway, fresh_email()) for _ in range(2))
        product, other, scarce = (shelf.add(stock=stock) for stock in (10_000, 100, 1))
        self.headers = {NOBODY: {}, CUSTOMER: customer.headers, STAFF: staff.headers}
        self.words = {
            "email": customer.email,
            "key": fresh_key(),
            "product": product["id"],
            "other": other["id"],
            "scarce": scarce["id"],
            "sampled": gateway.get("/api/v1/products?ordering=id&page_size=1").json()["results"][0]["id"],
            "foreign": place(gateway, neighbour, (product, 1)).json()["id"],
        }


def play(shop: Shop, side: str, capability: str, steps: Sequence[Step], staff: Account) -> list[Answer]:
    """The side's answers to the whole conversation."""
    with shop.connect(GATEWAY) as gateway, shop.connect(side, capability) as api:
        cast = Cast(gateway, staff)
        return [readable(_send(api, step, cast), cast.words, exact=step.exact) for step in steps]


def _send(api: httpx.Client, step: Step, cast: Cast) -> httpx.Response:
    words = cast.words
    headers = {**cast.headers[step.who], **_filled(dict(step.headers), words)}
    path = _filled(step.path, words)
    if step.raw is not None:
        headers = {"Content-Type": "application/json"} | headers
        answer = api.request(step.method, path, content=step.raw, headers=headers)
    else:
        answer = api.request(step.method, path, json=_filled(step.body, words), headers=headers)
    _learn(answer, step, words)
    return answer


def _learn(answer: httpx.Response, step: Step, words: dict[str, Any]) -> None:
    body = answer.json() if _is_json(answer) else None
    if not isinstance(body, dict):
        return
    if step.keeps and "id" in body:
        words[step.keeps] = body["id"]
    if body.get("next"):
        words["next"] = target(body["next"])


def _filled(value: Any, words: Mapping[str, Any]) -> Any:
    if isinstance(value, dict):
        return {name: _filled(item, words) for name, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, words) for item in value]
    if not isinstance(value, str):
        return value
    for word, meaning in words.items():
        if value == f"{{{word}}}":
            return meaning  # as it is: an id stays a number
        value = value.replace(f"{{{word}}}", str(meaning))
    return value


def target(address: str) -> str:
    """Path and query of an address."""
    parts = urlsplit(address)
    return f"{parts.path}?{parts.query}"


def readable(answer: httpx.Response, words: Mapping[str, Any], *, exact: bool) -> Answer:
    """Status, the headers that a client acts on, and the body with what is new each time masked."""
    new = frozenset() if exact else NEW_EACH_TIME
    return {
        "status": answer.status_code,
        "headers": {name: answer.headers.get(name) for name in HEADERS},
        "body": _masked(answer.json(), words, new) if _is_json(answer) else answer.text,
    }


def _masked(body: Any, words: Mapping[str, Any], new: frozenset[str]) -> Any:
    if isinstance(body, list):
        return [_masked(item, words, new) for item in body]
    if isinstance(body, dict):
        return {
            name: type(value).__name__ if name in new else _masked(value, words, new) for name, value in body.items()
        }
    if isinstance(body, str) and "cursor=" in body:
        return "a page's address"
    return "the customer's email" if body == words["email"] else body


def _is_json(answer: httpx.Response) -> bool:
    return "json" in answer.headers.get("content-type", "") and bool(answer.content)
