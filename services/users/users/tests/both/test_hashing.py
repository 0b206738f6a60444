"""Passwords are hashed in places of their own, outside of transactions, for every caller."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from chassis.identity import hashing
from chassis.rest.errors import Busy
from conftest import PASSWORD
from django.db import connection

TOKEN, USERS = "/api/v1/auth/token", "/api/v1/users"
NEW = {"email": "new@example.com", "password": PASSWORD, "full_name": "New"}


@pytest.fixture
def hashed(monkeypatch) -> list[bool]:
    """For each hash, whether a transaction was open."""
    seen: list[bool] = []

    class Places(hashing.Hashing):
        @contextmanager
        def place(self):
            seen.append(connection.in_atomic_block)
            yield

    monkeypatch.setattr(hashing, "process", Places(1, queue=0))
    return seen


@pytest.fixture
def full(monkeypatch):
    """All places are taken, and the queue is full."""

    class Places(hashing.Hashing):
        @contextmanager
        def place(self):
            raise Busy(wait=3)
            yield

    monkeypatch.setattr(hashing, "process", Places(1, queue=0))


@pytest.mark.django_db(transaction=True)
def test_nobody_learns_from_a_place_who_exists(anonymous, customer, hashed):
    hashed.clear()
    for credentials in (
        {"email": customer.email, "password": PASSWORD},
        {"email": customer.email, "password": "wrong"},
        {"email": "nobody@example.com", "password": "wrong"},
    ):
        anonymous.post(TOKEN, credentials)

    assert hashed == [False, False, False]


@pytest.mark.django_db(transaction=True)
def test_a_new_account_is_hashed_before_its_transaction(anonymous, hashed):
    assert anonymous.post(USERS, NEW).status_code == 201
    assert hashed == [False]


@pytest.mark.django_db
@pytest.mark.parametrize(("path", "body"), [(TOKEN, {"email": "a@example.com", "password": "x"}), (USERS, NEW)])
def test_who_finds_all_places_taken_is_told_when_to_come_again(anonymous, full, path, body):
    answer = anonymous.post(path, body)

    assert (answer.status_code, answer["Retry-After"]) == (503, "3")
    assert list(answer.json()) == ["detail"]


@pytest.mark.django_db
def test_the_admin_s_login_is_told_too(client, full):
    answer = client.post("/admin/login/", {"username": "a@example.com", "password": "x"})

    assert (answer.status_code, answer["Retry-After"]) == (503, "3")
