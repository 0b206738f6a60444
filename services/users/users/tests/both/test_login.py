"""What a login writes, here and while users are owned elsewhere."""

from __future__ import annotations

import pytest
from conftest import PASSWORD
from django.contrib.auth import authenticate
from django.contrib.auth.hashers import get_hasher

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


def test_a_login_renews_a_weak_hash(customer):
    weak = weaken(customer)

    assert authenticate(email=customer.email, password=PASSWORD) == customer
    assert User.objects.get(pk=customer.pk).password != weak


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
