"""Requests that come too often, too late, or at the same time as another."""

from __future__ import annotations

import pytest
from chassis.identity import hashing
from conftest import PASSWORD, new_user
from django.db import connection
from rest_framework.throttling import ScopedRateThrottle

from users import selectors, services
from users.models import User

pytestmark = pytest.mark.django_db

TAKEN = {"email": ["A user with this email already exists."]}


@pytest.fixture
def _check_comes_too_early(monkeypatch):
    """Another request inserts the row between this one's check and its write."""
    monkeypatch.setattr(selectors, "email_taken", lambda **_: False)


@pytest.mark.usefixtures("_check_comes_too_early")
def test_a_registration_that_lost_a_race_is_a_bad_request(anonymous, customer):
    body = {"email": customer.email.upper(), "password": PASSWORD, "full_name": "Second"}

    answer = anonymous.post("/api/v1/users", body)

    assert (answer.status_code, answer.json()) == (400, TAKEN)


@pytest.mark.usefixtures("_check_comes_too_early")
def test_a_change_of_email_that_lost_a_race_is_a_bad_request(api):
    answer = api.patch("/api/v1/users/me", {"email": new_user().email})

    assert (answer.status_code, answer.json()) == (400, TAKEN)


def test_a_deactivated_user_is_out_at_once(anonymous, api, customer):
    pair = anonymous.post("/api/v1/auth/token", {"email": customer.email, "password": PASSWORD}).data
    User.objects.update(is_active=False)

    assert api.get("/api/v1/users/me").status_code == 401
    assert anonymous.post("/api/v1/auth/refresh", {"refresh": pair["refresh"]}).status_code == 401


def test_a_refresh_is_no_login(anonymous, customer):
    pair = anonymous.post("/api/v1/auth/token", {"email": customer.email, "password": PASSWORD}).data
    before = User.objects.values().get(pk=customer.pk)

    assert anonymous.post("/api/v1/auth/refresh", {"refresh": pair["refresh"]}).status_code == 200
    assert User.objects.values().get(pk=customer.pk) == before


@pytest.mark.parametrize("path", ["/api/v1/auth/token", "/api/v1/auth/refresh"])
def test_tokens_are_throttled(anonymous, monkeypatch, path):
    monkeypatch.setitem(ScopedRateThrottle.THROTTLE_RATES, "token", "2/min")

    assert [anonymous.post(path, {}).status_code for _ in range(3)] == [400, 400, 429]


def test_callers_behind_the_gateway_are_counted_apart_and_cannot_pretend(anonymous, monkeypatch):
    monkeypatch.setitem(ScopedRateThrottle.THROTTLE_RATES, "token", "1/min")

    def ask(forwarded_for: str) -> int:
        return anonymous.post("/api/v1/auth/token", {}, headers={"x-forwarded-for": forwarded_for}).status_code

    assert ask("10.0.0.1") == 400
    assert ask("10.0.0.2") == 400
    assert ask("1.2.3.4, 10.0.0.1") == 429


def guess(anonymous, email: str, number: int, password: str = "wrong") -> tuple[int, dict[str, object], set[str], str]:
    """What an address of its own is answered."""
    headers = {"x-forwarded-for": f"10.1.0.{number}"}
    answer = anonymous.post("/api/v1/auth/token", {"email": email, "password": password}, headers=headers)
    return answer.status_code, answer.json(), set(answer.headers), answer.get("Retry-After", "")


def test_one_account_is_guessed_at_a_few_times_from_however_many_addresses(anonymous, customer, settings):
    settings.CHASSIS_LOGIN_TRIES = 3
    spellings = [customer.email, customer.email.upper(), customer.email.title(), customer.email]

    assert [guess(anonymous, email, number)[0] for number, email in enumerate(spellings)] == [401, 401, 401, 429]
    assert guess(anonymous, customer.email, 9, PASSWORD)[0] == 429, "a right guess is not looked at either"


def test_an_account_that_nobody_has_is_answered_like_any_other(anonymous, customer, settings, monkeypatch):
    settings.CHASSIS_LOGIN_TRIES = 2
    hashed = []
    place = hashing.process.place
    monkeypatch.setattr(hashing.process, "place", lambda: hashed.append(1) or place())

    told = []
    for email in (customer.email, "nobody@example.com"):
        hashed.clear()
        told.append(([guess(anonymous, email, number)[:3] for number in range(4)], len(hashed)))

    assert [code for code, *_ in told[0][0]] == [401, 401, 429, 429]
    assert told[0][1] == 2, "a password is hashed for each guess that is looked at, and for no other"
    assert told[0] == told[1]


def test_the_owner_gets_in_from_where_the_account_is_used_while_others_guess(anonymous, customer, settings):
    settings.CHASSIS_LOGIN_TRIES = 2
    assert guess(anonymous, customer.email, 1, PASSWORD)[0] == 200

    assert [guess(anonymous, customer.email, number)[0] for number in range(2, 6)] == [401, 401, 429, 429]

    assert guess(anonymous, customer.email, 1, PASSWORD)[0] == 200
    assert guess(anonymous, customer.email, 6, PASSWORD)[0] == 429


def test_the_admin_and_the_api_have_an_account_s_tries_together(anonymous, client, superuser, settings):
    settings.CHASSIS_LOGIN_TRIES = 2
    for number in range(2):
        guess(anonymous, superuser.email, number)

    answer = client.post("/admin/login/", {"username": superuser.email, "password": PASSWORD})

    assert "Too many tries" in answer.content.decode()


def test_a_login_for_which_there_is_no_place_is_no_try(anonymous, customer, settings, monkeypatch):
    settings.CHASSIS_LOGIN_TRIES = 1
    with monkeypatch.context() as patch:
        patch.setattr(hashing, "process", hashing.Hashing(0, queue=0))
        assert [guess(anonymous, customer.email, number)[0] for number in range(3)] == [503] * 3

    assert guess(anonymous, customer.email, 4, PASSWORD)[0] == 200


def test_a_request_runs_in_one_transaction(api, monkeypatch):
    seen = []
    monkeypatch.setattr(services, "delete", lambda **_: seen.append(len(connection.savepoint_ids)))

    api.delete("/api/v1/users/me")

    # ATOMIC_REQUESTS makes one savepoint inside the test's own transaction.
    assert seen == [1]
