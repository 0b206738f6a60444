"""What no schema says, for half of the bodies: which products there are, who can log in.

Without it no order would ever be placed. Schemathesis imports this module by the name in ``schemathesis.toml``.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import schemathesis
from hypothesis import strategies
from hypothesis.strategies import SearchStrategy

from tests.contract.people import PASSWORD
from tests.fuzz.identities import EMAIL, PRODUCTS, REFRESH


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


KEY = "Idempotency-Key"
MEANINGFUL: Mapping[str, Callable[[Any], Any]] = {
    "POST /api/v1/orders": _order,
    "POST /api/v1/users": _registration,
    "POST /api/v1/auth/token": _login,
    "POST /api/v1/auth/refresh": _refresh,
}


@schemathesis.hook
def before_generate_body(context: schemathesis.HookContext, strategy: SearchStrategy[Any]) -> SearchStrategy[Any]:
    """The strategy, or with even odds what it draws with values that mean something."""
    meaningful = MEANINGFUL.get(context.operation.label) if context.operation else None
    return strategy if meaningful is None else strategies.one_of(strategy, strategy.map(meaningful))


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
