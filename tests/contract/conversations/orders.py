"""What is said to orders; each that is placed is decided when it is answered."""

from __future__ import annotations

from typing import Any

from tests.contract.conversation import Step, anonymous
from tests.contract.purchases import PATIENCE

ORDERS, ORDER, REFUSED = "/api/v1/orders", "/api/v1/orders/{order}", "/api/v1/orders/{refused}"
ONE = [{"product_id": "{product}", "quantity": 1}]
UNKNOWN = 999_999_999_999


def keyed(name: str) -> dict[str, str]:
    return {**PATIENCE, "Idempotency-Key": f"{{key}}-{name}"}


def order(key: str, lines: Any = ONE, *, keeps: str = "", **fields: Any) -> Step:
    return Step("POST", ORDERS, {"lines": lines, **fields}, headers=keyed(key), keeps=keeps)


def so_many(quantity: Any, product: Any = "{product}") -> list[dict[str, Any]]:
    return [{"product_id": product, "quantity": quantity}]


WITHOUT_ORDERS = [
    anonymous("GET", ORDERS),
    anonymous("POST", ORDERS, {"lines": ONE}, headers=keyed("nobody")),
    anonymous("GET", ORDERS + "/{foreign}"),
    anonymous("POST", ORDERS + "/{foreign}/cancel"),
    anonymous("GET", ORDERS, headers={"Authorization": "Bearer a.b.c"}),
    Step("GET", ORDERS, exact=True),
    Step("HEAD", ORDERS),
    Step("OPTIONS", ORDERS),
    Step("PUT", ORDERS, {}),
    Step("DELETE", ORDERS),
    Step("GET", ORDERS, headers={"Accept": "application/xml"}),
    Step("GET", ORDERS + "/"),
    Step("GET", ORDERS + "/{foreign}"),
    Step("POST", ORDERS + "/{foreign}/cancel"),
    Step("GET", f"{ORDERS}/{UNKNOWN}"),
    Step("POST", f"{ORDERS}/{UNKNOWN}/cancel"),
    Step("GET", f"{ORDERS}/{'9' * 30}"),
    Step("GET", ORDERS + "/x"),
    Step("GET", ORDERS + "?cursor=nonsense"),
]

NOT_TAKEN = [
    Step("POST", ORDERS, {"lines": ONE}),
    Step("POST", ORDERS, {"lines": ONE}, headers={"Idempotency-Key": ""}),
    Step("POST", ORDERS, {"lines": ONE}, headers={"Idempotency-Key": "k" * 256}),
    Step("POST", ORDERS, {}, headers=keyed("empty")),
    Step("POST", ORDERS, [], headers=keyed("empty")),
    Step("POST", ORDERS, raw=b"{", headers=keyed("empty")),
    Step("POST", ORDERS, raw=b"lines=1", headers=keyed("form") | {"Content-Type": "application/x-www-form-urlencoded"}),
    order("wrong", []),
    order("wrong", "bread"),
    order("wrong", [{}]),
    order("wrong", so_many(0)),
    order("wrong", so_many(10_001)),
    order("wrong", so_many("some")),
    order("wrong", so_many(1, 0)),
    order("wrong", so_many(1, 2**63)),
    order("wrong", so_many(1) * 201),
    order("wrong", payment_token="t" * 65),
    order("wrong", payment_token=None),
    order("wrong", save_payment_method="perhaps"),
    order("unknown", so_many(1, UNKNOWN)),
    order("unknown", so_many(1) + so_many(1, UNKNOWN) + so_many(1, UNKNOWN + 1)),
    Step("GET", ORDERS, exact=True),
]

PLACED = [
    order("plain", keeps="order"),
    order("plain"),
    Step("POST", ORDERS, {"unheard": 1, "lines": ONE}, headers=keyed("plain")),
    order("plain", so_many(2)),
    order("plain", payment_token="tok_other"),
    Step("GET", ORDER),
    Step("HEAD", ORDER),
    Step("OPTIONS", ORDER),
    Step("PATCH", ORDER, {}),
    Step("DELETE", ORDER),
    Step("GET", ORDER + "/cancel"),
    Step("OPTIONS", ORDER + "/cancel"),
    order("twice", so_many(2) + so_many(3)),
    order("both", so_many(2) + so_many(1, "{other}")),
    order("declined", payment_token="tok_declined", keeps="refused"),
    order("too-dear", so_many(1000)),
    order("too-many", so_many(2, "{scarce}")),
    order("all-or-none", so_many(1) + so_many(2, "{scarce}")),
    order("last", so_many(1, "{scarce}"), keeps="last"),
    order("sold-out", so_many(1, "{scarce}")),
    order("saved", payment_token="tok_transfer", save_payment_method=True, keeps="awaited"),
    order("by-saved"),
    order("by-card", payment_token="tok_card"),
]

CANCELLED = [
    Step("POST", REFUSED + "/cancel", headers=PATIENCE),
    Step("POST", ORDERS + "/{awaited}/cancel", headers=PATIENCE),
    Step("POST", ORDERS + "/{last}/cancel", {"any": "body"}, headers=PATIENCE),
    Step("POST", ORDER + "/cancel", headers=PATIENCE),
    Step("POST", ORDER + "/cancel", headers=PATIENCE),
    order("plain"),
    Step("GET", ORDER),
    Step("GET", ORDERS),
    Step("GET", ORDERS + "?page_size=2"),
    Step("GET", "{next}"),
    Step("GET", "{next}"),
    Step("GET", ORDERS + "?page_size=0"),
]

CONVERSATION = [*WITHOUT_ORDERS, *NOT_TAKEN, *PLACED, *CANCELLED]
