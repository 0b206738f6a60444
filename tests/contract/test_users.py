from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from tests.contract.people import PASSWORD, fresh_email

CAPABILITY = "users"


def test_registration_answers_with_the_user_and_without_the_password(api):
    email = fresh_email()

    answer = api.post("/api/v1/users", json={"email": email, "password": PASSWORD, "full_name": "Ada"})

    assert answer.status_code == 201
    user = answer.json()
    assert set(user) == {"id", "email", "full_name", "created_at"}
    assert isinstance(user["id"], int)
    assert (user["email"], user["full_name"]) == (email, "Ada")
    age = datetime.now(UTC) - datetime.fromisoformat(user["created_at"])
    assert abs(age) < timedelta(minutes=1)


@pytest.mark.parametrize("spelling", [str, str.upper, lambda email: f"  {email} "])
def test_an_email_is_taken_in_whatever_spelling(api, account, spelling):
    body = {"email": spelling(account.email), "password": PASSWORD, "full_name": "Another"}

    answer = api.post("/api/v1/users", json=body)

    assert answer.status_code == 400
    assert list(answer.json()) == ["email"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"email": "no address"}, "email"),
        ({"email": ""}, "email"),
        ({"email": None}, "email"),
        ({"email": "a" * 250 + "@example.org"}, "email"),
        ({"password": "short"}, "password"),
        ({"password": "1234567890123"}, "password"),
        ({"password": ""}, "password"),
        ({"full_name": "x" * 300}, "full_name"),
        ({"full_name": "nul \x00 byte"}, "full_name"),
    ],
)
def test_a_field_that_cannot_be_is_named_with_the_reason(api, changes, field):
    body = {"email": fresh_email(), "password": PASSWORD, "full_name": "Ada"} | changes

    answer = api.post("/api/v1/users", json=body)

    assert answer.status_code == 400
    errors = answer.json()
    assert list(errors) == [field]
    assert all(isinstance(reason, str) and reason for reason in errors[field])


def test_of_many_who_register_one_email_at_once_one_wins(api):
    body = {"email": fresh_email(), "password": PASSWORD, "full_name": "Ada"}

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: api.post("/api/v1/users", json=body), range(8)))

    assert sorted(answer.status_code for answer in answers) == [201] + [400] * 7
    assert {tuple(answer.json()) for answer in answers if answer.status_code == 400} == {("email",)}


def test_every_missing_field_is_named_at_once(api):
    answer = api.post("/api/v1/users", json={})

    assert answer.status_code == 400
    assert {"email", "password"} <= set(answer.json())


def test_a_registration_does_not_choose_its_id_or_its_rights(api):
    body = {"email": fresh_email(), "password": PASSWORD, "full_name": "Ada"}

    user = api.post("/api/v1/users", json=body | {"id": 1, "is_staff": True, "created_at": "2001-01-01"}).json()

    assert user["id"] != 1
    assert not user["created_at"].startswith("2001")


def test_me_is_whom_the_token_names(api, account):
    answer = api.get("/api/v1/users/me", headers=account.headers)

    assert answer.status_code == 200
    assert answer.json()["id"] == account.id
    assert answer.json()["email"] == account.email


def test_a_change_is_answered_and_kept(api, account):
    answer = api.patch("/api/v1/users/me", json={"full_name": "Grace"}, headers=account.headers)

    assert answer.status_code == 200
    assert answer.json()["full_name"] == "Grace"
    assert api.get("/api/v1/users/me", headers=account.headers).json() == answer.json()


def test_what_is_not_the_user_s_to_change_stays(api, account):
    before = api.get("/api/v1/users/me", headers=account.headers).json()

    answer = api.patch(
        "/api/v1/users/me", json={"id": 1, "created_at": "2001-01-01T00:00:00Z"}, headers=account.headers
    )

    assert answer.status_code == 200
    assert answer.json() == before


def test_a_change_that_cannot_be_names_the_field_and_changes_nothing(api, account):
    answer = api.patch("/api/v1/users/me", json={"full_name": "x" * 300}, headers=account.headers)

    assert answer.status_code == 400
    assert list(answer.json()) == ["full_name"]
    assert api.get("/api/v1/users/me", headers=account.headers).json()["full_name"] == "Ada Example"


def test_a_deleted_user_is_gone_with_every_token(api, account):
    assert api.delete("/api/v1/users/me", headers=account.headers).status_code == 204

    assert api.get("/api/v1/users/me", headers=account.headers).status_code == 401
    assert api.post("/api/v1/auth/refresh", json={"refresh": account.refresh}).status_code == 401
    login = {"email": account.email, "password": PASSWORD}
    assert api.post("/api/v1/auth/token", json=login).status_code == 401


def test_the_email_of_a_deleted_user_is_free_again(api, account):
    api.delete("/api/v1/users/me", headers=account.headers)

    answer = api.post("/api/v1/users", json={"email": account.email, "password": PASSWORD, "full_name": "Ada"})

    assert answer.status_code == 201
    assert answer.json()["id"] != account.id
