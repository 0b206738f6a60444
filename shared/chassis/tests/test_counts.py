"""Counts that processes share: exact, whatever they do at once, and never a reason to fail."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psycopg
import pytest
from chassis.database import counts
from chassis.database.counts import DatabaseCounts, MemoryCounts
from chassis.models import Count
from chassis.ownership import refusals
from chassis.testing.sessions import another_session
from django.db import connection, transaction
from library.programs import MIGRATE, WEB, Running, run
from library.waiting import until

pytestmark = pytest.mark.django_db(transaction=True)
postgresql = pytest.mark.skipif(connection.vendor != "postgresql", reason="DATABASE_URL names no PostgreSQL")
MINUTE = 60.0


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def place() -> Iterator[DatabaseCounts]:
    """Counts in the tests' database."""
    found = DatabaseCounts(MemoryCounts())
    yield found
    found.close()


@pytest.fixture(params=["database", "memory"])
def either(request: pytest.FixtureRequest) -> Any:
    if request.param == "memory":
        return MemoryCounts()
    if connection.vendor != "postgresql":
        pytest.skip("DATABASE_URL names no PostgreSQL")
    return request.getfixturevalue("place")


def count(place: counts.Counts, key: str = "ada", limit: int = 3, seconds: float = MINUTE) -> bool:
    return place.count(key, limit=limit, seconds=seconds) is None


def held(key: str = "ada") -> int:
    """How many the database has, of whatever period."""
    return Count.objects.filter(key=key).values_list("number", flat=True).first() or 0


def test_as_many_count_as_the_limit_says_and_the_others_are_told_how_long_to_wait(either: counts.Counts) -> None:
    assert [count(either) for _ in range(5)] == [True, True, True, False, False]
    assert 1 <= (either.count("ada", limit=3, seconds=MINUTE) or 0) <= MINUTE
    assert count(either, "bob")


def test_as_many_count_however_many_come_at_once(either: counts.Counts) -> None:
    with ThreadPoolExecutor(16) as threads:
        counted = list(threads.map(lambda _: count(either, limit=40), range(200)))

    assert counted.count(True) == 40


def test_what_is_taken_back_or_forgotten_can_be_counted_again(either: counts.Counts) -> None:
    assert [count(either) for _ in range(4)] == [True, True, True, False]
    either.take_back("ada")
    assert [count(either) for _ in range(2)] == [True, False]
    assert either.has("ada")
    either.forget("ada")
    assert not either.has("ada")
    assert [count(either) for _ in range(4)] == [True, True, True, False]


def test_a_period_ends_and_another_begins(either: counts.Counts) -> None:
    assert count(either, limit=1, seconds=0.05)

    until(lambda: not either.has("ada"))

    assert [count(either, limit=1) for _ in range(2)] == [True, False]


def test_other_keys_drive_no_count_out_of_memory() -> None:
    clock = Clock()
    place = MemoryCounts(most=500, clock=clock)
    assert [count(place) for _ in range(3)] == [True] * 3

    flood = [count(place, f"nobody-{number}") for number in range(1000)]

    assert flood.count(True) == 499 + 3
    assert not count(place)
    clock.now = MINUTE
    assert all(count(place, f"nobody-{number}") for number in range(1000, 1400))


@postgresql
def test_a_count_stays_when_its_request_is_rolled_back_and_is_no_write_of_it(place: DatabaseCounts) -> None:
    with refusals.watching() as seen, transaction.atomic():
        assert count(place)
        transaction.set_rollback(True)

    assert held() == 1
    assert not seen.committed


@postgresql
def test_nobody_waits_for_a_transaction_that_has_counted(place: DatabaseCounts) -> None:
    with transaction.atomic():
        assert count(place)
        with ThreadPoolExecutor(1) as thread:
            assert thread.submit(count, DatabaseCounts(MemoryCounts())).result(60)

    assert held() == 2


@postgresql
def test_what_is_over_is_removed_while_others_count(place: DatabaseCounts) -> None:
    Count.objects.bulk_create(Count(key=f"old-{n}", number=1, ends_at="2020-01-01T00:00:00Z") for n in range(1500))

    for number in range(2 * counts.PURGED_EVERY):
        count(place, f"new-{number}")

    assert Count.objects.filter(key__startswith="old").count() == 0
    assert Count.objects.count() == 2 * counts.PURGED_EVERY


@postgresql
@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_a_stricter_default_of_the_database_loses_no_count(place: DatabaseCounts, level: str) -> None:
    name = connection.settings_dict["NAME"]
    with another_session(autocommit=True) as session:
        session.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = '{level}'")
        places = [DatabaseCounts(MemoryCounts()) for _ in range(4)]
        try:
            with ThreadPoolExecutor(8) as threads:
                counted = list(threads.map(lambda number: count(places[number % 4], limit=100), range(200)))
        finally:
            session.execute(f"ALTER DATABASE {name} RESET default_transaction_isolation")
            for each in places:
                each.close()

    assert (counted.count(True), held()) == (100, 100)


@postgresql
def test_a_session_that_the_server_has_ended_is_opened_again(place: DatabaseCounts) -> None:
    assert count(place)
    pid = place._session.connection.info.backend_pid
    with another_session(autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s)", [pid])
        until(lambda: not other.execute("SELECT 1 FROM pg_stat_activity WHERE pid = %s", [pid]).fetchone())

    assert [count(place) for _ in range(3)] == [True, True, False]
    assert held() == 3


@postgresql
def test_where_the_database_does_not_count_the_process_does(
    place: DatabaseCounts, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counts, "PAUSE_SECONDS", 0.0)
    with another_session() as other:
        other.execute("LOCK TABLE chassis_count IN ACCESS EXCLUSIVE MODE")
        assert [count(place, limit=1) for _ in range(2)] == [True, False]
        assert "counts_not_shared" in caplog.text

    assert [count(place, limit=1) for _ in range(2)] == [True, False]
    assert held() == 1


@postgresql
def test_nobody_s_session_keeps_a_database_of_tests_from_being_dropped() -> None:
    assert count(counts.database)

    with connection._nodb_cursor() as cursor:
        cursor.execute("SELECT 1")

    assert counts.database._session is None


def ask(processes: list[Running], times: int) -> Counter[int]:
    """How often each status came of so many requests, which the processes get at once."""
    gate = threading.Barrier(16)

    def some(number: int) -> list[int]:
        gate.wait(60)
        with httpx.Client(timeout=60) as client:
            web = [processes[(number + turn) % len(processes)] for turn in range(times // 16)]
            return [client.get(f"http://127.0.0.1:{each.port}/limited").status_code for each in web]

    with ThreadPoolExecutor(16) as threads:
        return Counter(code for codes in threads.map(some, range(16)) for code in codes)


def test_processes_share_one_count_which_outlives_them(server: Any, tmp_path: Any) -> None:
    """Two pods of two processes each. Twenty are allowed within an hour, whoever is asked."""
    run(MIGRATE, DATABASE_URL=server.url)
    two = (*WEB[:-1], "2")
    with (
        Running(two, tmp_path / "one.log", DATABASE_URL=server.url) as one,
        Running(two, tmp_path / "two.log", DATABASE_URL=server.url) as other,
    ):
        for each in (one, other):
            each.await_status("/readyz", 200)
        assert one.post("/limited").status_code == 405, "it is counted, and rolled back"

        assert ask([one, other], 160) == {200: 19, 429: 141}

        one.end()
        with Running(two, tmp_path / "three.log", DATABASE_URL=server.url) as three:
            three.await_status("/readyz", 200)
            answer = three.get("/limited")
            assert answer.status_code == 429
            assert int(answer.headers["retry-after"]) > 0

        with psycopg.connect(server.url, autocommit=True) as session:
            session.execute("ALTER TABLE chassis_count RENAME TO elsewhere")
            away = ask([other], 160)
            assert set(away) == {200, 429}, "nobody fails because nothing can be counted"
            assert 20 <= away[200] <= 40, "each of its two processes counts alone"
            session.execute("ALTER TABLE elsewhere RENAME TO chassis_count")
        until(lambda: "counts_not_shared_over" in other.said or not other.get("/limited"))

        server.stop()
        server.start()
        with psycopg.connect(server.url) as session:
            assert session.execute("SELECT number FROM chassis_count").fetchone() == (20,), "a stop keeps them"
