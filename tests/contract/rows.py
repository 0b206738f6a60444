"""What a registration and a login leave in the table of users."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.rows import dict_row

from tests.contract.people import fresh_email, sign_up
from tests.contract.sides import Shop

OF_A_USER = "SELECT * FROM users_user WHERE email = %s"


def row_after_login(shop: Shop, side: str) -> dict[str, Any]:
    """The row; neither a refresh nor a look at the profile changes it."""
    email = fresh_email()
    with shop.connect(side, "users") as api, shop.database(side, "users") as session:
        account = sign_up(api, email)
        row = _row(session, email)
        api.post("/api/v1/auth/refresh", json={"refresh": account.refresh})
        api.get("/api/v1/users/me", headers=account.headers)
        assert _row(session, email) == row, "only a login writes"
    return row


def _row(session: psycopg.Connection[Any], email: str) -> dict[str, Any]:
    found = session.cursor(row_factory=dict_row).execute(OF_A_USER, [email]).fetchone()
    assert found, email
    return found
