"""The admin of users."""

from __future__ import annotations

import pytest
from chassis import ownership
from conftest import PASSWORD, new_user

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
    monkeypatch.setattr(ownership, "is_open", lambda capability, using="default": capability != "users")

    assert admin.get(f"/admin/users/user/{other.pk}/change/").status_code == 200
    assert admin.post("/admin/users/user/add/", FORM).status_code == 403
    assert admin.post(f"/admin/users/user/{other.pk}/delete/", {"post": "yes"}).status_code == 403
    assert User.objects.filter(pk=other.pk).exists()
