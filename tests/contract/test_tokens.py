from __future__ import annotations

import pytest

from tests.contract.people import PASSWORD, fresh_email

CAPABILITY = "users"


def test_a_login_opens_what_the_user_may_see(api, account):
    answer = api.post("/api/v1/auth/token", json={"email": account.email, "password": PASSWORD})

    assert answer.status_code == 200
    assert set(answer.json()) == {"access", "refresh"}
    headers = {"Authorization": f"Bearer {answer.json()['access']}"}
    assert api.get("/api/v1/users/me", headers=headers).json()["id"] == account.id


def test_an_email_logs_in_in_whatever_case(api, account):
    body = {"email": account.email.upper(), "password": PASSWORD}

    assert api.post("/api/v1/auth/token", json=body).status_code == 200


def test_a_wrong_password_and_an_unknown_email_look_alike(api, account):
    wrong = api.post("/api/v1/auth/token", json={"email": account.email, "password": "not it"})
    unknown = api.post("/api/v1/auth/token", json={"email": fresh_email(), "password": PASSWORD})

    assert wrong.status_code == unknown.status_code == 401
    assert wrong.json() == unknown.json()
    assert list(wrong.json()) == ["detail"]
    assert wrong.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("body", [{}, {"email": "a@example.org"}, {"password": "x"}])
def test_a_login_without_a_field_is_a_bad_request(api, body):
    assert api.post("/api/v1/auth/token", json=body).status_code == 400


def test_a_refresh_token_gives_an_access_token_that_works(api, account):
    answer = api.post("/api/v1/auth/refresh", json={"refresh": account.refresh})

    assert answer.status_code == 200
    headers = {"Authorization": f"Bearer {answer.json()['access']}"}
    assert api.get("/api/v1/users/me", headers=headers).json()["id"] == account.id


def test_an_access_token_refreshes_nothing_and_a_refresh_token_opens_nothing(api, account):
    swapped = {"Authorization": f"Bearer {account.refresh}"}

    assert api.post("/api/v1/auth/refresh", json={"refresh": account.access}).status_code == 401
    assert api.get("/api/v1/users/me", headers=swapped).status_code == 401


@pytest.mark.parametrize("token", ["a.b.c", "two words", "trügerisch"])
def test_what_is_no_token_is_refused_and_says_how_to_ask(api, token):
    answer = api.get("/api/v1/users/me", headers={"Authorization": f"Bearer {token}".encode()})

    assert answer.status_code == 401
    assert list(answer.json()) == ["detail"]
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/users/me"),
        ("PATCH", "/api/v1/users/me"),
        ("DELETE", "/api/v1/users/me"),
        ("GET", "/api/v1/users/me/addresses"),
        ("POST", "/api/v1/users/me/addresses"),
    ],
)
def test_without_a_token_nothing_of_a_user_opens(api, method, path):
    assert api.request(method, path).status_code == 401
