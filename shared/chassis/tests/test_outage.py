"""What a request is answered while the database is away, stops, or comes back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from chassis.database import absence
from chassis.ownership import outage, owners
from chassis.testing.sessions import another_session
from django.db import InterfaceError, OperationalError, connection, connections
from django.http import HttpResponse
from django.test import Client
from library.models import Book, Visit
from library.programs import MIGRATE, WEB, Running, run
from library.sessions import end_the_session
from library.side import Side
from library.urls import moment

postgresql = pytest.mark.skipif(connection.vendor != "postgresql", reason="DATABASE_URL names no PostgreSQL")
Ask = Callable[[str], HttpResponse]


@pytest.fixture(params=["before a move", "in a move"])
def ask(request: pytest.FixtureRequest, transactional_db, settings, monkeypatch) -> Iterator[Ask]:
    """Posts in a thread of its own, whose session the test may end."""
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "chassis.ownership.fence.FenceMiddleware"]
    settings.ROOT_URLCONF = "library.urls"
    monkeypatch.setattr(owners, "_present", set())
    moment.passed, moment.planned = 0, None
    side = Side("http://127.0.0.1:1") if request.param == "in a move" else None
    client = Client(headers={"host": "library.example"})

    def post(path: str) -> HttpResponse:
        try:
            return client.post(path, b"{}", content_type="application/json")
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as thread:
        yield lambda path: thread.submit(post, path).result(60)
    if side is not None:
        side.remove()


def assert_in_doubt(answer: HttpResponse) -> None:
    assert answer.status_code == 503
    assert answer["Retry-After"] == "2"
    assert answer.json() == {"detail": outage.UNKNOWN}


def test_a_server_that_is_stopped_and_started_costs_503_and_nothing_else(server, tmp_path):
    run(MIGRATE, DATABASE_URL=server.url)
    with Running(WEB, tmp_path / "web.log", DATABASE_URL=server.url) as web:
        web.await_status("/readyz", 200)
        assert web.post("/books").status_code == 201

        server.stop()
        answers = [web.post("/books") for _ in range(5)]

        assert [answer.status_code for answer in answers] == [503] * 5
        assert answers[0].headers["Retry-After"] == "2"
        assert answers[0].json() == {"detail": outage.UNTOUCHED}
        assert web.get("/healthz").status_code == 200
        assert web.get("/readyz").status_code == 503

        server.start()
        assert [web.post("/books").status_code for _ in range(5)] == [201] * 5
        assert "chassis_outage_requests_total 5.0" in web.get("/metrics").text
        assert "Traceback" not in web.said
    with psycopg.connect(server.url) as session:
        assert session.execute("SELECT count(*) FROM library_book").fetchone() == (6,)


def test_a_web_process_that_starts_before_its_database_is_ready_as_soon_as_that_is(server, tmp_path):
    run(MIGRATE, DATABASE_URL=server.url)
    server.stop()
    with Running(WEB, tmp_path / "web.log", DATABASE_URL=server.url) as web:
        assert web.get("/healthz").status_code == 200
        assert web.post("/books").status_code == 503

        server.start()

        web.await_status("/readyz", 200)
        assert web.post("/books").status_code == 201


@postgresql
@pytest.mark.parametrize("name", ["", "/swallow", "/swallow-inside", "/commit-first", "/commit-nothing"])
def test_a_view_that_loses_its_session_leaves_in_doubt_what_was_done(ask, name):
    moment.planned = end_the_session

    assert_in_doubt(ask(f"/books{name}"))

    assert moment.passed == 1
    assert not Book.objects.exists()


@postgresql
def test_a_session_that_ends_before_the_commit_leaves_in_doubt_what_was_done(ask):
    moment.planned = end_the_session

    assert_in_doubt(ask("/books/last-moment"))

    assert not Book.objects.exists()


@postgresql
def test_the_request_after_it_finds_the_database(ask):
    moment.planned = end_the_session
    ask("/books")

    assert ask("/books").status_code == 201

    assert (Visit.objects.count(), Book.objects.count()) == (1, 1)


@postgresql
def test_a_lock_that_is_not_had_is_no_outage(ask):
    with another_session() as other:
        other.execute("LOCK TABLE library_book IN ACCESS EXCLUSIVE MODE")

        with pytest.raises(OperationalError, match="lock timeout"):
            ask("/books/impatient")


@pytest.mark.parametrize(
    "error",
    [
        psycopg.OperationalError("connection refused"),
        psycopg.errors.ConnectionTimeout("connection timeout expired"),
        psycopg.errors.ConnectionFailure("08006"),
        psycopg.errors.AdminShutdown("57P01"),
        psycopg.errors.CrashShutdown("57P02"),
        psycopg.errors.CannotConnectNow("57P03"),
        psycopg.errors.TooManyConnections("53300"),
        psycopg.InterfaceError("the connection is closed"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_is_of_the_connection_is_an_outage(error):
    wrapped = InterfaceError() if isinstance(error, psycopg.InterfaceError) else OperationalError()
    wrapped.__cause__ = error

    assert absence.is_outage(error)
    assert absence.is_outage(wrapped)


@pytest.mark.parametrize(
    "error",
    [
        psycopg.errors.LockNotAvailable("55P03"),
        psycopg.errors.DeadlockDetected("40P01"),
        psycopg.errors.SerializationFailure("40001"),
        psycopg.errors.QueryCanceled("57014"),
        psycopg.errors.DiskFull("53100"),
        psycopg.errors.UniqueViolation("23505"),
        psycopg.errors.PipelineAborted("pipeline aborted"),
        psycopg.InterfaceError("the cursor is closed"),
        OperationalError("of another kind of database"),
        ValueError("of none"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_is_of_a_statement_is_none(error):
    assert not absence.is_outage(error)
