"""What no schema says, for one request of each operation and half of the bodies: what there is, who can log in.

Without it no order would ever be placed. Schemathesis imports this module by the name in ``schemathesis.toml``.
"""

from __future__ import annotations

import functools
import os
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import schemathesis
from hypothesis import strategies
from hypothesis.strategies import SearchStrategy
from schemathesis.auths import AuthContext, set_on_case

from tests.contract.people import PASSWORD
from tests.fuzz.identities import EMAIL, ORDERS, PRODUCTS, REFRESH, USERS


def _order(body: Any) -> Any:
    """The order, of products that are for sale."""
    first, second = os.environ[PRODUCTS].split(",")[:2]
    lines = [{"product_id": int(first), "quantity": 1}, {"product_id": int(second), "quantity": 2}]
    return {**body, "lines": lines} if isinstance(body, dict) else body


def _registration(body: Any) -> Any:
    """Somebody with a password that is taken, whom nobody knows."""
    known = {"email": f"fuzz-{uuid.uuid4().hex}@example.org", "password": PASSWORD, "full_name": "Ada"}
    return {**body, **known} if isinstance(body, dict) else body


def _login(body: Any) -> Any:
    return {"email": os.environ[EMAIL], "password": PASSWORD}


def _refresh(body: Any) -> Any:
    return {"refresh": os.environ[REFRESH]}


def _first(ids: str) -> int:
    return int(os.environ[ids].split(",")[0])


KEY = "Idempotency-Key"
ORDER_PATH, PRODUCT_PATH = "/api/v1/orders/{id}", "/api/v1/products/{id}"
MEANINGFUL: Mapping[str, Callable[[Any], Any]] = {
    "POST /api/v1/orders": _order,
    "POST /api/v1/users": _registration,
    "POST /api/v1/auth/token": _login,
    "POST /api/v1/auth/refresh": _refresh,
}
# What the first request of an operation bears, so that it does what the operation is for; few requests that are made up
# at random might not. Operations that ask for nothing need none.
FIRST: Mapping[str, Callable[[], Any]] = {
    **{label: functools.partial(meaning, {}) for label, meaning in MEANINGFUL.items()},
    f"PATCH {PRODUCT_PATH}": lambda: {"brand": "Fuzzed"},
    f"POST {PRODUCT_PATH}/stock": lambda: {"delta": 1},
    "POST /api/v1/products": lambda: {"name": "Fuzzed", "price": "1.50"},
    "PATCH /api/v1/users/me": lambda: {"full_name": "Ada"},
    "POST /api/v1/users/me/addresses": lambda: {"line1": "1 Road", "city": "X", "postal_code": "1", "country": "FR"},
}
# Of which the first request is.
EXISTING: Mapping[str, str] = {ORDER_PATH: ORDERS, PRODUCT_PATH: PRODUCTS, "/internal/users/{id}": USERS}


@schemathesis.hook
def before_generate_body(context: schemathesis.HookContext, strategy: SearchStrategy[Any]) -> SearchStrategy[Any]:
    """The strategy, or with even odds what it draws with values that mean something."""
    meaningful = MEANINGFUL.get(context.operation.label) if context.operation else None
    return strategy if meaningful is None else strategies.one_of(strategy, strategy.map(meaningful))


@schemathesis.hook
def before_add_examples(context: schemathesis.HookContext, examples: list[schemathesis.Case[Any]]) -> None:
    """Adds the request that is sent first."""
    operation = context.operation
    if operation is None:
        return
    parts: dict[str, Any] = {}
    if operation.label in FIRST:
        parts |= {"body": FIRST[operation.label](), "media_type": "application/json"}
    for path, ids in EXISTING.items():
        if operation.path.startswith(path):
            parts["path_parameters"] = {"id": _first(ids)}
    if parts:
        first = operation.Case(**parts)
        set_on_case(first, AuthContext(operation=operation, app=None), None)  # only what it makes itself is logged in
        if KEY in operation.headers:
            first.headers[KEY] = uuid.uuid4().hex
        examples.append(first)


@schemathesis.hook
def map_headers(context: schemathesis.HookContext, headers: Any) -> Any:
    """The headers, with a key that no request before had; a short one is drawn again and again, with another body."""
    key = (headers or {}).get(KEY)
    return {**headers, KEY: f"{key[:32]}{uuid.uuid4().hex}"} if isinstance(key, str) else headers


@schemathesis.hook
def before_load_schema(context: schemathesis.HookContext, raw_schema: dict[str, Any]) -> None:
    """Tells which keys are taken, for most cases that are built one by one would have an empty one, and end there."""
    for operations in raw_schema["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                if parameter["name"] == KEY:
                    parameter["schema"] |= {"pattern": "^[!-~]{1,255}$", "minLength": 1, "maxLength": 255}
