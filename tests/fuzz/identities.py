"""Who asks: a member of the staff, a customer, and a service; each as the variables that ``schemathesis.toml`` and
``hooks.py`` name."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from pathlib import Path

import jwt
from chassis.identity.keys import ALGORITHM, keyring

TOKEN, EMAIL, REFRESH, PRODUCTS, ORDERS, USERS = "TOKEN", "EMAIL", "REFRESH", "PRODUCTS", "ORDERS", "USERS"
# A run is longer than the minute that a service's own tokens last.
LIFETIME_SECONDS = 3_600


def of_orders(secrets: Path) -> Mapping[str, str]:
    """The tokens by which the service of orders calls the others."""
    return {f"SERVICE_{audience.upper()}": _service(secrets, audience) for audience in ("users", "products")}


def _service(secrets: Path, audience: str) -> str:
    ring = keyring(str(secrets / "SERVICE_KEY_FILE.orders.pem"), setting="SERVICE_KEY_FILE")
    now = int(time.time())
    claims = {"sub": "service:orders", "aud": audience, "use": "service", "iat": now, "exp": now + LIFETIME_SECONDS}
    headers = {"kid": ring.signer}
    return jwt.encode({**claims, "jti": uuid.uuid4().hex}, ring.keys[ring.signer], algorithm=ALGORITHM, headers=headers)
