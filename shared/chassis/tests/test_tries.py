"""Tries of an account's password: by whomever, in whatever spelling, whether there is such an account or not."""

from __future__ import annotations

import sys
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unicodedata import category

import pytest
from chassis.database import counts
from chassis.database.counts import DatabaseCounts, MemoryCounts
from chassis.identity import tries
from chassis.identity.tries import TooManyTries, begun, spelled, throttled
from chassis.models import Count
from django.db import connection
from django.test import RequestFactory
from rest_framework.exceptions import Throttled

CASED = {"Ll", "Lu", "Lt", "Lm", "Mn", "Nl", "So"}  # kinds of letters that may be another's capital
HOME, OFFICE = "10.0.0.1", "10.0.0.2"


@pytest.fixture(autouse=True)
def no_counts(settings: Any) -> None:
    settings.CHASSIS_COUNTS = "process"
    settings.CHASSIS_LOGIN_TRIES = 3
    counts.memory.clear()


def enter(account: str = "ada@example.com", client: str = "10.9.9.9", *, right: bool | None = False) -> bool:
    """Whether the password was looked at."""
    try:
        with begun(account, client) as tried:
            tried.right = right
    except TooManyTries:
        return False
    return True


def attack(account: str = "ada@example.com", times: int = 10) -> int:
    """How many passwords are looked at that come from an address each."""
    return [enter(account, f"10.1.0.{number}") for number in range(times)].count(True)


def test_guesses_at_one_account_are_limited_wherever_they_come_from() -> None:
    assert attack() == 3
    assert attack("bob@example.com") == 3


@pytest.mark.parametrize(
    "spelling",
    ["ADA@example.com", "ada@EXAMPLE.com", " ada@example.com", "\uff41da@example.com", "a\u0064a@example.com"],
)
def test_all_spellings_of_an_account_have_its_tries_together(spelling: str) -> None:
    assert attack() == 3

    assert not enter(spelling)


@pytest.mark.skipif(connection.vendor != "postgresql", reason="DATABASE_URL names no PostgreSQL")
@pytest.mark.django_db
def test_what_the_database_takes_for_the_same_letter_is_spelled_the_same() -> None:
    """A login finds its row by ``upper``. Letters that are younger than this Python are not looked at."""
    letters = [letter for letter in map(chr, range(1, sys.maxunicode + 1)) if category(letter) in CASED]
    assert len(letters) > 10_000
    collations = ["default", *_collations("tr-x-icu", "und-x-icu", "C.UTF-8", "pg_c_utf8")]
    for collation in collations:
        groups: dict[str, set[str]] = defaultdict(set)
        with connection.cursor() as cursor:
            cursor.execute(
                f'SELECT letter, upper(letter COLLATE "{collation}") FROM unnest(%s::text[]) AS letter', [letters]
            )
            for letter, upper in cursor.fetchall():
                groups[upper].add(spelled(letter))
        assert not {upper: found for upper, found in groups.items() if len(found) > 1}, collation


def _collations(*names: str) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT collname FROM pg_collation WHERE collname = ANY (%s)", [list(names)])
        return [name for (name,) in cursor.fetchall()]


def test_who_gets_in_uses_nothing_up_and_gives_those_who_guess_nothing_back() -> None:
    assert enter(client="10.1.1.1")
    assert all(enter(client=f"10.2.0.{number}", right=True) for number in range(20))

    assert attack() == 2


def test_a_try_that_nobody_looked_at_is_none() -> None:
    def broken() -> None:
        with begun("ada@example.com", HOME):
            raise ValueError("busy")

    assert all(enter(right=None) for _ in range(10))
    for _ in range(10):
        with pytest.raises(ValueError, match="busy"):
            broken()

    assert attack() == 3


def test_nobody_can_lock_the_owner_out_where_the_account_is_used() -> None:
    assert enter(client=HOME, right=True)

    for _ in range(5):
        attack()
        assert enter(client=HOME), "a slip of the owner"
        assert enter(client=HOME, right=True)
    assert not enter(client=OFFICE, right=True), "elsewhere the owner waits"


def test_a_client_from_which_the_account_is_used_has_no_more_tries_than_others() -> None:
    assert enter(client=HOME, right=True)

    assert [enter(client=HOME) for _ in range(5)] == [True] * 3 + [False] * 2
    assert attack() == 3
    assert attack("bob@example.com") == 3
    assert not enter("bob@example.com", HOME), "it is one that knows ada's password, and nobody else's"


def test_a_client_is_one_of_those_who_guess_again_after_a_month(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(counts, "memory", MemoryCounts(clock=lambda: now[0]))
    assert enter(client=HOME, right=True)

    now[0] = tries.REMEMBERED_SECONDS + 1

    assert attack() == 3
    assert not enter(client=HOME, right=True)


def test_tries_come_back_after_the_period(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(counts, "memory", MemoryCounts(clock=lambda: now[0]))
    assert attack() == 3

    now[0] = tries.PERIOD_SECONDS + 1

    assert attack() == 3


def test_as_many_begin_as_there_are_tries_however_many_come_at_once() -> None:
    with ThreadPoolExecutor(16) as threads:
        begun_ = list(threads.map(lambda number: enter(client=f"10.3.0.{number}"), range(100)))

    assert begun_.count(True) == 3


def test_an_api_answers_with_429_and_when_to_come_again() -> None:
    attack()

    with pytest.raises(Throttled) as refused, throttled(RequestFactory().get("/"), "ada@example.com"):
        raise AssertionError("the password is not looked at")

    assert 0 < (refused.value.wait or 0) <= tries.PERIOD_SECONDS


@pytest.mark.skipif(connection.vendor != "postgresql", reason="DATABASE_URL names no PostgreSQL")
@pytest.mark.django_db(transaction=True)
def test_the_same_is_done_for_an_account_that_nobody_has(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here knows which accounts there are; the statements are the same, and no name is written down."""
    settings.CHASSIS_COUNTS = "database"
    said: list[str] = []

    class Told(DatabaseCounts):
        def _ask(self, statement: str, values: Any) -> Any:
            said.append(statement)
            return super()._ask(statement, values)

    place = Told(MemoryCounts())
    monkeypatch.setattr(counts, "database", place)
    told = []
    for account in ("ada@example.com", "nobody@example.com"):
        said.clear()
        attack(account, 5)
        told.append(list(said))
    place.close()

    assert told[0] == told[1]
    assert all(key.startswith("try-") and "@" not in key for key in Count.objects.values_list("key", flat=True))
