"""A server, or a project, whose transactions are not READ COMMITTED by default."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from chassis.database import isolation
from chassis.database.isolation import read_committed
from chassis.identity.principals import Principal
from chassis.messages import inbox
from chassis.sagas import saga
from chassis.testing.sessions import another_session
from django.db import OperationalError, connection, connections, transaction
from library import answers, desk
from library.handlers import moment as handled
from library.models import Answer, Book, Loan, Visit
from library.post import message
from library.waiting import until
from psycopg import IsolationLevel
from rest_framework.test import APIClient

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.urls("library.answers"),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="DATABASE_URL names no PostgreSQL"),
]

STRICT = ["repeatable read", "serializable"]


@pytest.fixture(params=[f"{level} of the {whose}" for level in STRICT for whose in ("database", "project")])
def strict(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """New sessions of Django's begin their transactions so."""
    level, _, whose = request.param.partition(" of the ")
    options = {**connection.settings_dict["OPTIONS"]}
    del options["isolation_level"]
    if whose == "project":
        options["isolation_level"] = IsolationLevel[level.upper().replace(" ", "_")]
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", options)
    name = connection.settings_dict["NAME"]
    with another_session(autocommit=True) as session:
        if whose == "database":
            session.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = '{level}'")
        connection.close()
        yield
        session.execute(f"ALTER DATABASE {name} RESET default_transaction_isolation")
    connection.close()


def isolation_now() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SHOW transaction_isolation")
        return str(cursor.fetchone()[0])


def test_the_kits_settings_do_not_inherit_the_servers_default():
    with another_session(autocommit=True) as session:
        name = connection.settings_dict["NAME"]
        session.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")
        try:
            connection.close()
            with transaction.atomic():
                assert isolation_now() == "read committed"
        finally:
            session.execute(f"ALTER DATABASE {name} RESET default_transaction_isolation")
            connection.close()


def test_one_transaction_is_read_committed_and_the_next_is_as_before(strict, request):
    wanted = request.node.callspec.params["strict"].partition(" of the ")[0]

    with read_committed():
        assert isolation_now() == "read committed"
    with transaction.atomic():
        assert isolation_now() == wanted
    with pytest.raises(ZeroDivisionError), read_committed():
        raise ZeroDivisionError
    with transaction.atomic():
        assert isolation_now() == wanted


def test_of_two_versions_at_once_the_older_is_dropped(strict, no_moment):
    """The older waits, and then sees what the newer has committed."""
    inside, waited = threading.Event(), threading.Event()
    outcomes: dict[int, str] = {}

    def handle(version: int) -> None:
        try:
            outcomes[version] = inbox.handle(message("visits.visit.noted", version=version), "books")
        finally:
            connection.close()

    def hold_the_newer() -> None:
        inside.set()
        assert waited.wait(60)

    handled.planned = hold_the_newer
    newer, older = (threading.Thread(target=handle, args=(version,)) for version in (2, 1))
    newer.start()
    assert inside.wait(60)
    handled.planned = lambda: None
    older.start()
    await_a_waiter()
    waited.set()
    newer.join()
    older.join()

    assert outcomes == {2: "handled", 1: "older"}


def test_of_two_deliveries_of_one_message_at_once_one_is_handled(strict, no_moment):
    told = message(title="Emma")
    inside, waited = threading.Event(), threading.Event()
    outcomes: list[str] = []

    def handle() -> None:
        try:
            outcomes.append(inbox.handle(told, "books"))
        finally:
            connection.close()

    def hold() -> None:
        inside.set()
        assert waited.wait(60)

    handled.planned = hold
    threads = [threading.Thread(target=handle) for _ in range(2)]
    threads[0].start()
    assert inside.wait(60)
    threads[1].start()
    await_a_waiter()
    waited.set()
    for thread in threads:
        thread.join()

    assert sorted(outcomes) == ["duplicate", "handled"]
    assert Book.objects.count() == 1


def test_a_key_that_is_being_answered_ends_in_an_answer_or_a_conflict_and_never_in_500(strict, settings):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "chassis.ownership.fence.FenceMiddleware"]
    answers.pause.reached.clear()
    answers.pause.over.clear()
    answers.pause.wanted = True

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(send)
        assert answers.pause.reached.wait(60)
        second = pool.submit(send)
        await_a_waiter()
        answers.pause.over.set()
        found = [first.result(60), second.result(60)]
    again = send()

    assert found[0].status_code == 201
    assert (found[1].status_code, found[1].headers.get("Retry-After")) == (409, "1")
    assert (again.status_code, again.content) == (201, found[0].content)
    assert (Visit.objects.count(), Answer.objects.count()) == (1, 1)


def test_many_requests_with_their_own_keys_are_never_answered_with_500(strict, settings):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "chassis.ownership.fence.FenceMiddleware"]

    with ThreadPoolExecutor(8) as pool:
        codes = {answer.status_code for answer in pool.map(lambda n: send(f"k{n % 20}"), range(100))}

    assert codes <= {201, 409, 503}
    assert 201 in codes


def test_deadlines_that_several_workers_look_at_pass_once(strict, places):
    for number in range(20):
        desk.begin(f"loan-{number}")
    Loan.objects.update(deadline="2000-01-01T00:00Z", attempts=9)

    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(lambda _: desk.in_thread(saga.expire), range(4)))

    assert sum(counts) == 20


@pytest.mark.parametrize(
    ("error", "passing"),
    [
        (psycopg.errors.SerializationFailure(), True),
        (psycopg.errors.DeadlockDetected(), True),
        (psycopg.errors.LockNotAvailable(), False),
        (ValueError(), False),
    ],
)
def test_what_may_succeed_at_once_is_known(error, passing):
    wrapped = OperationalError()
    wrapped.__cause__ = error

    assert isolation.is_passing(wrapped) is passing


def send(key: str = "k1") -> Any:
    client = APIClient(raise_request_exception=False, headers={"host": "library.example", "Idempotency-Key": key})
    client.force_authenticate(Principal(pk=7))
    try:
        return client.post("/visits", {"note": "hello"}, format="json")
    finally:
        connections.close_all()


def await_a_waiter() -> None:
    """Returns when a session of this database waits for a lock."""
    with another_session(autocommit=True) as session:
        until(
            lambda: session.execute(
                "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            ).fetchone()
        )
