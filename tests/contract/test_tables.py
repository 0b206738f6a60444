"""The tables are the same on both sides, and the same requests leave the same in them."""

from __future__ import annotations

import httpx
import pytest

from tests.contract.people import fresh_email, sign_up
from tests.contract.rows import row_after_login
from tests.contract.sides import CAPABILITIES, MONOLITH, SERVICE

COLUMNS = """
    SELECT attrelid::regclass::text, attname, format_type(atttypid, atttypmod), attnotnull, attidentity::text,
           pg_get_expr(adbin, adrelid)
    FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE attrelid = ANY (%s::regclass[]) AND attnum > 0 AND NOT attisdropped
    ORDER BY 1, 2
"""
# A foreign key into another capability is a plain number if that capability is elsewhere.
CONSTRAINTS = """
    SELECT conrelid::regclass::text, contype::text, conname, pg_get_constraintdef(oid)
    FROM pg_constraint
    WHERE conrelid = ANY (%(tables)s::regclass[]) AND (contype <> 'f' OR confrelid = ANY (%(tables)s::regclass[]))
    ORDER BY 1, 2, 3
"""
INDEXES = "SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = ANY (%s::regclass[]) ORDER BY 1"
NAMES = """
    SELECT indexrelid::regclass::text, indisunique, indisvalid
    FROM pg_index WHERE indrelid = ANY (%s::regclass[]) ORDER BY 1
"""
EXISTING = "SELECT count(*) FROM unnest(%s::text[]) AS name WHERE to_regclass(name) IS NOT NULL"


def of_both(shop, capability, query):
    tables = list(CAPABILITIES[capability].tables)
    values = {"tables": tables} if "%(tables)s" in query else [tables]
    with shop.database(MONOLITH, capability) as there, shop.database(SERVICE, capability) as here:
        return there.execute(query, values).fetchall(), here.execute(query, values).fetchall()


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_both_have_all_tables(shop, capability):
    theirs, ours = of_both(shop, capability, EXISTING)

    assert theirs == ours == [(len(CAPABILITIES[capability].tables),)]


@pytest.mark.parametrize("query", [COLUMNS, CONSTRAINTS, INDEXES], ids=["columns", "constraints", "indexes"])
@pytest.mark.parametrize("capability", CAPABILITIES)
def test_the_tables_are_equal(shop, capability, query):
    theirs, ours = of_both(shop, capability, query)

    assert theirs
    assert ours == theirs


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_a_copy_has_all_its_indexes_back(started, capability):
    theirs, ours = of_both(started, capability, NAMES)

    assert theirs
    assert ours == theirs


def test_a_registration_and_a_login_leave_the_same_row(moved, before):
    theirs, ours = before.row, row_after_login(moved, SERVICE)

    changing = {"id", "email", "password", "created_at", "updated_at", "last_login"}
    assert {name: ours[name] for name in ours.keys() - changing} == {
        name: theirs[name] for name in theirs.keys() - changing
    }
    assert ours["last_login"] >= ours["created_at"]
    assert theirs["last_login"] >= theirs["created_at"]


def test_both_sides_hash_passwords_alike(moved, before):
    schemes = []
    for row in (before.row, row_after_login(moved, SERVICE)):
        algorithm, rounds, salt, _ = row["password"].split("$")
        schemes.append((algorithm, rounds, len(salt)))

    assert schemes[0] == schemes[1]
    assert schemes[0][0] == "pbkdf2_sha256"


def test_a_deleted_user_leaves_no_address(started, side):
    with started.connect(side, "users") as api, started.database(side, "users") as session:
        account = sign_up(api, fresh_email())
        address = {"line1": "1 Long Lane", "city": "Bath", "postal_code": "BA1 1AA", "country": "GB"}
        created = api.post("/api/v1/users/me/addresses", json=address, headers=account.headers)
        assert created.status_code == httpx.codes.CREATED

        api.delete("/api/v1/users/me", headers=account.headers)

        left = session.execute("SELECT count(*) FROM users_address WHERE id = %s", [created.json()["id"]])
        assert left.fetchone() == (0,)
