"""The tables are the same on both sides, and the same requests leave the same in them."""

from __future__ import annotations

import httpx
import pytest

from tests.contract.sides import connect, database, fresh_email, sign_up

TABLES = ["users_user", "users_address"]

COLUMNS = """
    SELECT attrelid::regclass::text, attname, format_type(atttypid, atttypmod), attnotnull, attidentity::text,
           pg_get_expr(adbin, adrelid)
    FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE attrelid = ANY (%s::regclass[]) AND attnum > 0 AND NOT attisdropped
    ORDER BY 1, 2
"""
CONSTRAINTS = """
    SELECT conrelid::regclass::text, contype::text, pg_get_constraintdef(oid)
    FROM pg_constraint WHERE conrelid = ANY (%s::regclass[]) ORDER BY 1, 2, 3
"""
# Django derives an index's name from its columns, so names are equal too.
INDEXES = "SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = ANY (%s::regclass[]) ORDER BY 1"
OF_A_USER = "SELECT * FROM users_user WHERE email = %s"


@pytest.mark.parametrize("query", [COLUMNS, CONSTRAINTS, INDEXES], ids=["columns", "constraints", "indexes"])
def test_the_tables_are_equal(query):
    with database("monolith") as there, database("service") as here:
        theirs = there.execute(query, [TABLES]).fetchall()
        ours = here.execute(query, [TABLES]).fetchall()

    assert theirs
    assert ours == theirs


def row_after_login(side: str, email: str) -> dict:
    with connect(side) as api, database(side) as session:
        account = sign_up(api, email)
        before = as_dict(session, email)
        api.post("/api/v1/auth/refresh", json={"refresh": account.refresh})
        api.get("/api/v1/users/me", headers=account.headers)
        assert as_dict(session, email) == before, "only a login writes"
    return before


def as_dict(session, email: str) -> dict:
    cursor = session.execute(OF_A_USER, [email])
    names = [column.name for column in cursor.description]
    return dict(zip(names, cursor.fetchone(), strict=True))


def test_a_registration_and_a_login_leave_the_same_row():
    email = fresh_email()
    theirs, ours = row_after_login("monolith", email), row_after_login("service", email)

    changing = {"id", "password", "created_at", "updated_at", "last_login"}
    assert {name: ours[name] for name in ours.keys() - changing} == {
        name: theirs[name] for name in theirs.keys() - changing
    }
    assert ours["last_login"] >= ours["created_at"]
    assert theirs["last_login"] >= theirs["created_at"]


def test_both_sides_hash_passwords_alike():
    email = fresh_email()
    schemes = []
    for side in ("monolith", "service"):
        hashed = row_after_login(side, email)["password"]
        algorithm, rounds, salt, _ = hashed.split("$")
        schemes.append((algorithm, rounds, len(salt)))

    assert schemes[0] == schemes[1]
    assert schemes[0][0] == "pbkdf2_sha256"


@pytest.mark.parametrize("side", ["monolith", "service"])
def test_a_deleted_user_leaves_no_address(side):
    with connect(side) as api, database(side) as session:
        account = sign_up(api, fresh_email())
        address = {"line1": "1 Long Lane", "city": "Bath", "postal_code": "BA1 1AA", "country": "GB"}
        created = api.post("/api/v1/users/me/addresses", json=address, headers=account.headers)
        assert created.status_code == httpx.codes.CREATED

        api.delete("/api/v1/users/me", headers=account.headers)

        left = session.execute("SELECT count(*) FROM users_address WHERE id = %s", [created.json()["id"]])
        assert left.fetchone() == (0,)
