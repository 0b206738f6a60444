"""The admin of users."""

from __future__ import annotations

import pytest
from chassis.database import counts
from chassis.identity import logins
from chassis.ownership import owners
from conftest import PASSWORD, new_user
from django.contrib.auth import hashers

from users.models import User

FORM = {"email": "new@example.com", "full_name": "New", "password1": PASSWORD, "password2": PASSWORD}
NO_ADDRESSES = {"addresses-TOTAL_FORMS": "0", "addresses-INITIAL_FORMS": "0"}


@pytest.fixture
def admin(client, superuser):
    client.force_login(superuser)
    return client


def test_lists_and_pages_open(admin, customer):
    assert admin.get("/admin/").status_code == 200
    assert admin.get("/admin/users/user/?q=user").status_code == 200
    assert admin.get(f"/admin/users/user/{customer.pk}/change/").status_code == 200
    assert admin.get("/admin/users/user/add/").status_code == 200


def test_a_user_is_added_with_a_password_that_works(admin):
    answer = admin.post("/admin/users/user/add/", FORM | NO_ADDRESSES | {"usable_password": "true"})

    assert answer.status_code == 302, answer.context["errors"]
    assert User.objects.get(email="new@example.com").check_password(PASSWORD)


def test_a_user_is_deleted_with_what_hangs_on_the_account(admin, customer):
    answer = admin.post(f"/admin/users/user/{customer.pk}/delete/", {"post": "yes"})

    assert answer.status_code == 302
    assert not User.objects.filter(pk=customer.pk).exists()


def test_users_are_read_only_while_they_are_owned_elsewhere(admin, monkeypatch):
    other = new_user()
    monkeypatch.setattr(owners, "is_open", lambda capability, using="default": capability != "users")

    assert admin.get(f"/admin/users/user/{other.pk}/change/").status_code == 200
    assert admin.post("/admin/users/user/add/", FORM).status_code == 403
    assert admin.post(f"/admin/users/user/{other.pk}/delete/", {"post": "yes"}).status_code == 403
    assert User.objects.filter(pk=other.pk).exists()


def test_a_login_can_be_tried_a_few_times(client, superuser, monkeypatch, settings):
    settings.CHASSIS_LOGIN_TRIES = 3
    wrong = {"username": superuser.email, "password": "wrong"}
    right = {"username": superuser.email.upper(), "password": PASSWORD}

    tried = [client.post("/admin/login/", wrong, headers={"x-forwarded-for": f"10.0.0.{n}"}) for n in range(3)]
    monkeypatch.setattr(hashers, "check_password", None)
    refused = client.post("/admin/login/", right)

    assert all("Please enter the correct" in answer.content.decode() for answer in tried)
    assert "Too many tries" in refused.content.decode()
    counts.memory.clear()
    monkeypatch.undo()
    assert client.post("/admin/login/", right | {"username": superuser.email}).status_code == 302


def test_an_address_can_try_a_few_accounts(client, superuser, monkeypatch):
    monkeypatch.setattr(logins, "TRIES_PER_CLIENT", 3)
    here, elsewhere = {"x-forwarded-for": "1.1.1.1, 10.0.0.1"}, {"x-forwarded-for": "1.1.1.1, 10.0.0.2"}
    right = {"username": superuser.email, "password": PASSWORD}
    for number in range(3):
        client.post("/admin/login/", {"username": f"nobody-{number}", "password": "x"}, headers=here)

    assert "Too many tries" in client.post("/admin/login/", right, headers=here).content.decode()
    assert client.post("/admin/login/", right, headers=elsewhere).status_code == 302


def test_who_gets_in_has_all_tries_again(client, superuser, settings):
    settings.CHASSIS_LOGIN_TRIES = 2
    right = {"username": superuser.email, "password": PASSWORD}
    for _ in range(3):
        client.post("/admin/login/", right | {"password": "x"})
        assert client.post("/admin/login/", right).status_code == 302
        client.post("/admin/logout/")
