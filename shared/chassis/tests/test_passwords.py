"""Hashes of two kinds: which is written, which are read, where they take a place, and what the tool is told of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from chassis import environment, extras
from chassis.identity import hashing
from chassis.ownership import hashes
from chassis.testing.sides import Side
from django.contrib.auth import hashers
from django.contrib.auth.hashers import check_password, make_password
from django.core.exceptions import ImproperlyConfigured
from django.db import connection

PBKDF2, ARGON2 = environment.HASHERS["pbkdf2"], environment.HASHERS["argon2"]
EITHER = [PBKDF2, ARGON2]


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One item per hash that was computed in a place."""
    taken: list[int] = []

    class Places(hashing.Hashing):
        @contextmanager
        def place(self) -> Iterator[None]:
            taken.append(1)
            yield

    monkeypatch.setattr(hashing, "process", Places(1, queue=0))
    return taken


@pytest.fixture
def missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if argon2-cffi were not installed."""
    monkeypatch.setattr(extras, "has", lambda *modules: "argon2" not in modules)

    def fail(self: object) -> None:
        raise ValueError("Couldn't load 'Argon2PasswordHasher' algorithm library")

    monkeypatch.setattr(hashers.Argon2PasswordHasher, "_load_library", fail)


@pytest.mark.parametrize("first", EITHER)
def test_hashes_of_both_kinds_are_read_whichever_is_written(settings, first):
    settings.PASSWORD_HASHERS = EITHER
    kept = [make_password("correct horse", hasher=name) for name in ("pbkdf2_sha256", "argon2")]
    settings.PASSWORD_HASHERS = [first, *(one for one in EITHER if one != first)]

    assert all(check_password("correct horse", encoded) for encoded in kept)
    assert not any(check_password("wrong", encoded) for encoded in kept)
    assert make_password("correct horse").split("$")[0] == ("argon2" if first == ARGON2 else "pbkdf2_sha256")


def test_a_hash_of_argon2_takes_a_place_when_it_is_made_and_when_it_is_checked(settings, places):
    settings.PASSWORD_HASHERS = [ARGON2, PBKDF2]

    encoded = make_password("correct horse")
    assert len(places) == 1
    check_password("correct horse", encoded)
    assert len(places) == 2
    check_password("wrong", encoded)
    assert len(places) == 3


@pytest.mark.parametrize(("wanted", "first"), [(None, PBKDF2), ("", PBKDF2), ("pbkdf2", PBKDF2), ("argon2", ARGON2)])
def test_the_environment_says_which_kind_is_written(monkeypatch, wanted, first):
    monkeypatch.delenv("PASSWORD_HASHER", raising=False)
    if wanted is not None:
        monkeypatch.setenv("PASSWORD_HASHER", wanted)

    found = environment.password_hashers()

    assert found[0] == first
    assert sorted(found) == sorted(EITHER)


def test_a_process_without_argon2_does_not_start_where_it_is_asked_for(monkeypatch, missing):
    monkeypatch.setenv("PASSWORD_HASHER", "argon2")

    with pytest.raises(ImproperlyConfigured, match=r"argon2-cffi is not installed.*strangler-chassis\[argon2\]"):
        environment.password_hashers()
    monkeypatch.setenv("PASSWORD_HASHER", "pbkdf2")
    assert environment.password_hashers() == [PBKDF2]


def test_a_hasher_that_nobody_knows_is_refused(monkeypatch):
    monkeypatch.setenv("PASSWORD_HASHER", "md5")

    with pytest.raises(ImproperlyConfigured, match="none of pbkdf2, argon2"):
        environment.password_hashers()


@pytest.mark.skipif(connection.vendor != "postgresql", reason="DATABASE_URL names no PostgreSQL")
@pytest.mark.django_db(transaction=True)
class TestTold:
    """What the tool is told, with which it compares the two sides."""

    def test_the_owner_of_accounts_tells_how_it_hashes(self, settings):
        settings.PASSWORD_HASHERS = [ARGON2, PBKDF2]
        with Side("accounts", tables=["public.auth_user"]):
            told = hashes.told("accounts")

        assert told == {
            "passwords": {
                "writes": "argon2 time_cost=2 memory_cost=102400 parallelism=8",
                "reads": ["argon2", "pbkdf2_sha256"],
            }
        }

    def test_rounds_are_told_too(self, settings):
        settings.PASSWORD_HASHERS = [PBKDF2]
        settings.PASSWORD_ITERATIONS = 77
        with Side("accounts", tables=["public.auth_user"]):
            assert hashes.told("accounts")["passwords"]["writes"] == "pbkdf2_sha256 iterations=77"

    def test_a_kind_whose_package_is_missing_is_not_read(self, settings, missing):
        settings.PASSWORD_HASHERS = EITHER
        with Side("accounts", tables=["public.auth_user"]):
            assert hashes.told("accounts")["passwords"]["reads"] == ["pbkdf2_sha256"]

    def test_other_capabilities_tell_nothing(self):
        with Side("books", tables=["public.library_book"]):
            assert hashes.told("books") == hashes.told("accounts") == {}
