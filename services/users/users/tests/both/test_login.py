"""What a login writes, here and while users are owned elsewhere."""

from __future__ import annotations

import pytest
from chassis import environment
from conftest import PASSWORD
from django.contrib.auth import authenticate
from django.contrib.auth.hashers import get_hasher, make_password

from users import backends, receivers, services
from users.models import User


@pytest.fixture
def owned_elsewhere(monkeypatch):
    monkeypatch.setattr(backends, "is_open", lambda capability: False)
    monkeypatch.setattr(receivers, "is_open", lambda capability: False)


def weaken(user):
    """Gives the user a hash from a time when fewer rounds were enough."""
    user.password = get_hasher().encode(PASSWORD, "anoldsaltanoldsaltanolds", iterations=2)
    services.store(user=user)
    return user.password


def test_a_login_renews_a_weak_hash(customer, anonymous):
    weak = weaken(customer)

    assert anonymous.post("/api/v1/auth/token", {"email": customer.email, "password": PASSWORD}).status_code == 200
    assert User.objects.get(pk=customer.pk).password != weak
    assert authenticate(email=customer.email, password=PASSWORD) == customer


def test_a_login_leaves_the_hash_alone_while_users_are_owned_elsewhere(customer, owned_elsewhere):
    weak = weaken(customer)

    assert authenticate(email=customer.email, password=PASSWORD) == customer
    assert User.objects.get(pk=customer.pk).password == weak


def test_a_login_to_the_admin_is_remembered(client, superuser):
    client.login(email=superuser.email, password=PASSWORD)

    assert User.objects.get(pk=superuser.pk).last_login is not None


def test_a_login_to_the_admin_writes_nothing_while_users_are_owned_elsewhere(client, superuser, owned_elsewhere):
    assert client.login(email=superuser.email, password=PASSWORD)

    assert User.objects.get(pk=superuser.pk).last_login is None


@pytest.mark.parametrize("first", ["pbkdf2", "argon2"])
def test_who_has_a_hash_of_the_other_kind_logs_in_and_gets_one_of_the_present_kind(
    customer, anonymous, settings, first
):
    kinds = {"pbkdf2": "pbkdf2_sha256", "argon2": "argon2"}
    other = next(name for name in kinds if name != first)
    settings.PASSWORD_HASHERS = [environment.HASHERS[name] for name in (first, other)]
    customer.password = make_password(PASSWORD, hasher=kinds[other])
    services.store(user=customer)

    answer = anonymous.post("/api/v1/auth/token", {"email": customer.email, "password": PASSWORD})

    assert answer.status_code == 200
    assert User.objects.get(pk=customer.pk).password.startswith(f"{kinds[first]}$")


def test_the_new_hash_and_the_login_are_one_write(customer, anonymous, monkeypatch):
    """A fence that was put up between two writes would be met after a commit, and the login could not be repeated."""
    weaken(customer)
    saved = []
    monkeypatch.setattr(User, "save", lambda self, **given: saved.append(set(given["update_fields"])))

    anonymous.post("/api/v1/auth/token", {"email": customer.email, "password": PASSWORD})

    assert saved == [{"last_login", "password", "updated_at"}]


def test_a_login_of_another_kind_writes_nothing_while_users_are_owned_elsewhere(
    client, superuser, settings, owned_elsewhere
):
    before = superuser.password
    settings.PASSWORD_HASHERS = [environment.HASHERS[name] for name in ("argon2", "pbkdf2")]

    assert client.login(email=superuser.email, password=PASSWORD)

    assert User.objects.get(pk=superuser.pk).password == before
