"""The accounts may change hands while a password is hashed: the request is then rolled back and sent on."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from chassis.identity import hashing
from chassis.testing.sides import Side
from conftest import PASSWORD

from users.models import User

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def side(customer):
    """This database's side of the users' move."""
    with Side("users", tables=["public.users_user"], routes=[("", "/api/v1/(users|auth).*")], side="service") as side:
        yield side


@pytest.fixture
def _handed_over_meanwhile(side, monkeypatch):
    class Places(hashing.Hashing):
        @contextmanager
        def place(self):
            side.hand_over()
            yield

    monkeypatch.setattr(hashing, "process", Places(1, queue=0))


@pytest.mark.usefixtures("_handed_over_meanwhile")
def test_a_registration_is_rolled_back_and_sent_on(anonymous):
    body = {"email": "new@example.com", "password": PASSWORD, "full_name": "New"}

    answer = anonymous.post("/api/v1/users", body)

    assert (answer.status_code, answer["x-strangler-to"]) == (307, "monolith")
    assert not User.objects.filter(email="new@example.com").exists()


@pytest.mark.usefixtures("_handed_over_meanwhile")
def test_a_login_is_rolled_back_and_sent_on(anonymous, customer):
    answer = anonymous.post("/api/v1/auth/token", {"email": customer.email, "password": PASSWORD})

    assert (answer.status_code, answer["x-strangler-to"]) == (307, "monolith")
    assert User.objects.get(pk=customer.pk).last_login is None


@pytest.mark.usefixtures("side")
def test_while_they_are_here_both_are_answered(anonymous, customer):
    body = {"email": "new@example.com", "password": PASSWORD, "full_name": "New"}

    assert anonymous.post("/api/v1/users", body).status_code == 201
    assert anonymous.post("/api/v1/auth/token", {"email": customer.email, "password": PASSWORD}).status_code == 200
