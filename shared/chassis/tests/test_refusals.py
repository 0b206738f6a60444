"""A refusal is seen whatever raised it, and whatever became of the error."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

import psycopg
import pytest
from chassis.messages import inbox
from chassis.messages.inbox import FencedError
from chassis.ownership import owners, refusals
from chassis.ownership.refusals import SwallowedError
from chassis.testing.sessions import another_session
from django.db import DatabaseError, connection, connections, transaction
from django.http import HttpResponse
from django.test import Client
from library import ways
from library.handlers import moment as handled
from library.models import Book, Visit, VisitsInbox
from library.post import message
from library.sessions import another_asynchronous_session, end_the_session
from library.side import Side
from library.urls import moment
from library.ways import SECOND, WAYS

pytestmark = [
    pytest.mark.urls("library.ways"),
    pytest.mark.django_db(transaction=True, databases=["default", SECOND]),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="DATABASE_URL names no PostgreSQL"),
]
Ask = Callable[[str], HttpResponse]
QUIET = """
CREATE OR REPLACE FUNCTION write_quietly() RETURNS void LANGUAGE plpgsql AS $$ BEGIN
INSERT INTO library_book (title) VALUES ('Emma'); EXCEPTION WHEN OTHERS THEN NULL; END $$;
"""


@pytest.fixture(autouse=True)
def quiet(side: Side, settings: Any) -> Iterator[None]:
    """A function in the database that swallows errors."""
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "chassis.ownership.fence.FenceMiddleware"]
    settings.CHASSIS_HOLD_SECONDS = 0.1
    settings.CHASSIS_INBOXES = {"books": "library.Inbox", "visits": "library.VisitsInbox"}
    moment.passed, moment.planned = 0, None
    with another_session(autocommit=True) as session:
        session.execute(QUIET + ways.FUNCTIONS)
        yield
        session.execute("DROP FUNCTION write_quietly, visit; DROP PROCEDURE visit_and_commit, visit_and_fail")


@pytest.fixture
def ask() -> Iterator[Ask]:
    """Posts in a thread of its own."""
    client = Client(headers={"host": "library.example"}, raise_request_exception=False)

    def post(path: str) -> HttpResponse:
        try:
            answer = client.post(path, b"{}", content_type="application/json")
            if answer.streaming:
                answer.told = list(answer.streaming_content)
            return answer
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as thread:
        yield lambda path: thread.submit(post, path).result(60)


def hand_over(side: Side) -> Callable[[], None]:
    """The moment at which the owner becomes another."""

    def turn() -> None:
        side.fence()
        side.hand_over()

    return turn


def written() -> tuple[int, int]:
    return Visit.objects.count(), Book.objects.count()


@pytest.mark.parametrize("error", ["", "?swallow"])
@pytest.mark.parametrize("kind", ["write", "own", "rest"])
@pytest.mark.parametrize("way", WAYS)
def test_a_view_that_meets_the_fence_in_any_way_leaves_nothing_and_is_sent_on(side, ask, way, kind, error):
    moment.planned = hand_over(side)

    answer = ask(f"/books/{kind}/{way}{error}")

    assert (answer.status_code, answer.headers.get("x-strangler-to")) == (307, "service")
    assert written() == (0, 0)


@pytest.mark.parametrize("way", WAYS)
def test_a_view_that_meets_no_fence_writes_in_any_way(side, ask, way):
    assert ask(f"/books/write/{way}").status_code == 201

    visits, books = written()
    assert visits == 1
    assert books >= 1


@pytest.mark.parametrize("error", ["", "?swallow"])
@pytest.mark.parametrize(
    "way", ["alias", "copy", "raw", "many", "pipeline", "broken pipeline", "asynchronous", *ways.COMMITTED]
)
def test_a_view_that_has_committed_elsewhere_is_neither_sent_on_nor_run_again(side, ask, way, error):
    moment.planned = hand_over(side)

    answer = ask(f"/books/elsewhere/{way}{error}")

    assert answer.status_code == 503
    assert "Retry-After" not in answer.headers
    assert "only a part of the request was done" in answer.json()["detail"]
    assert moment.passed == 1
    assert written() == (1, 0)


@pytest.mark.usefixtures("no_atomic_requests")
@pytest.mark.parametrize("way", ["by_the_orm", "by_copy"])
def test_a_view_with_a_durable_block_works_in_a_move_as_before_it(side, ask, way):
    assert [ask(f"/books/durable/{way}").status_code for _ in range(2)] == [201, 201]
    assert written() == (2, 2)

    moment.planned = hand_over(side)
    assert ask(f"/books/durable/{way}?swallow").status_code == 307
    assert written() == (2, 2)


@pytest.mark.usefixtures("no_atomic_requests")
@pytest.mark.parametrize("way", WAYS)
def test_without_atomic_requests_a_view_leaves_nothing_either(side, ask, way):
    moment.planned = hand_over(side)

    assert ask(f"/books/write/{way}?swallow").status_code == 307
    assert written() == (0, 0)


@pytest.mark.parametrize("way", ["read", "undone", *ways.UNDONE])
def test_a_view_that_has_changed_nothing_elsewhere_is_sent_on(side, ask, way):
    moment.planned = hand_over(side)

    assert ask(f"/books/elsewhere/{way}?swallow").status_code == 307
    assert written() == (0, 0)


@pytest.mark.parametrize("how", ["", "?robust"])
@pytest.mark.parametrize("way", ["by_the_orm", "by_copy", "by_another_alias"])
def test_a_callback_that_meets_the_fence_after_the_commit_is_told_of_and_not_run_again(side, ask, way, how):
    moment.planned = hand_over(side)

    answer = ask(f"/books/afterwards/{way}{how}")

    assert answer.status_code == 503
    assert moment.passed == 1
    assert written() == (1, 0)


@pytest.mark.parametrize("way", ["by_the_orm", "by_copy", "by_a_connection_of_its_own"])
def test_a_streamed_body_breaks_off_where_its_making_met_the_fence(side, ask, way):
    moment.planned = hand_over(side)

    with pytest.raises(SwallowedError):
        ask(f"/books/stream/{way}")


def test_a_thread_commits_nothing_of_a_transaction_that_met_the_fence_and_that_is_counted(side, ask):
    moment.planned = hand_over(side)
    before = refusals.UNSEEN._value.get()

    assert ask("/books/thread/by_copy").status_code == 201  # its view does not look at what the thread has met

    assert written() == (0, 0)
    assert refusals.UNSEEN._value.get() > before


def test_a_refusal_at_the_commit_itself_is_sent_on(side, ask):
    with another_session(autocommit=True) as session:
        session.execute(
            "CREATE FUNCTION follow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "INSERT INTO library_book (title) VALUES ('Emma'); RETURN NULL; END $$"
        )
        session.execute(
            "CREATE CONSTRAINT TRIGGER follow AFTER INSERT ON library_visit DEFERRABLE INITIALLY DEFERRED "
            "FOR EACH ROW EXECUTE FUNCTION follow()"
        )
        try:
            moment.planned = hand_over(side)
            answer = ask("/books/write/by_raw_psycopg?swallow")
        finally:
            session.execute("DROP FUNCTION follow CASCADE")

    assert answer.status_code == 307
    assert written() == (0, 0)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("swallowed", [False, True])
def test_a_handler_that_meets_the_fence_in_any_way_has_handled_nothing(side, no_moment, way, swallowed):
    handled.planned = hand_over(side)

    with pytest.raises(FencedError) as fenced:
        inbox.handle(message("visits.write", way=way, swallow=swallowed), "visits")

    assert fenced.value.capability == "books"
    assert written() == (0, 0)
    assert not VisitsInbox.objects.exists()


@pytest.mark.parametrize("way", [way for way in WAYS if "alias" not in way and "connection" not in way])
def test_a_transaction_that_met_a_fence_is_not_committed_whoever_swallows_that(side, way):
    def work() -> None:
        with transaction.atomic():
            Visit.objects.create(note="half")
            with ways.taking_no_notice(True), transaction.atomic():
                WAYS[way]()

    hand_over(side)()
    with pytest.raises(DatabaseError) as refused:
        work()

    assert owners.refused_capability(refused.value) == "books"
    assert written() == (0, 0)
    Visit.objects.create(note="the next")
    assert written() == (1, 0)


ENDS = {
    "text": ["COMMIT"],
    "chained": ["COMMIT AND CHAIN"],
    "commented": ["/* now /* at last */ */ End -- it"],
    "several": ["SAVEPOINT s; COMMIT"],
    "failed": ["SAVEPOINT s", "SELECT 1/0", "ROLLBACK TO s; COMMIT"],
    "prepared": ["PREPARE TRANSACTION 'half'"],
}


@pytest.mark.parametrize("end", ["context", "commit", "block", "named", *ENDS])
def test_a_connection_of_ones_own_commits_no_half_however_it_is_told_to(side, end):
    hand_over(side)()
    session = another_session()

    def half() -> None:
        session.execute("INSERT INTO library_visit (note) VALUES ('half')")
        with ways.taking_no_notice(True), session.transaction():
            session.execute(ways.INSERT, ["Emma"])

    def end_it() -> None:
        with {"context": session, "block": session.transaction(), "named": session.transaction("x")}.get(
            end, nullcontext()
        ):
            half()
        if end == "commit":
            session.commit()
        for text in ENDS.get(end, []):
            with ways.taking_no_notice("1/0" in text):
                session.execute(text)

    with pytest.raises(psycopg.Error, match="books is not open here"):
        end_it()

    assert session.closed or session.info.transaction_status.name == "IDLE"
    session.close()
    assert written() == (0, 0)


@pytest.mark.parametrize("end", ["context", "commit", "block", "text"])
def test_an_asynchronous_connection_commits_no_half_either(side, end):
    async def half(session: psycopg.AsyncConnection[Any]) -> None:
        await session.execute("INSERT INTO library_visit (note) VALUES ('half')")
        with ways.taking_no_notice(True):
            async with session.transaction():
                await session.execute(ways.INSERT, ["Emma"])

    async def work() -> None:
        async with await another_asynchronous_session() as session:
            if end == "block":
                async with session.transaction():
                    await half(session)
                return
            await half(session)
            if end == "commit":
                await session.commit()
            if end == "text":
                await session.execute("COMMIT")

    hand_over(side)()
    with pytest.raises(psycopg.Error, match="books is not open here"):
        asyncio.run(work())

    assert written() == (0, 0)


@pytest.mark.parametrize("prepared", [False, True])
def test_a_transaction_in_two_phases_commits_no_half(side, prepared):
    hand_over(side)()
    session = another_session()
    session.tpc_begin("half")
    session.execute("INSERT INTO library_visit (note) VALUES ('half')")
    with ways.taking_no_notice(True), session.transaction():
        session.execute(ways.INSERT, ["Emma"])

    with pytest.raises(psycopg.Error, match="books is not open here"):
        session.tpc_prepare() if prepared else session.tpc_commit()

    session.close()
    assert written() == (0, 0)


def test_what_follows_a_rollback_is_committed(side):
    hand_over(side)()
    with ways.taking_no_notice(True), transaction.atomic():
        Book.objects.create(title="Emma")
    with another_session() as session:
        with ways.taking_no_notice(True):
            session.execute(ways.INSERT, ["Emma"])
        session.rollback()
        session.execute("INSERT INTO library_visit (note) VALUES ('whole')")
        session.commit()
        with ways.taking_no_notice(True):
            session.execute(ways.INSERT, ["Emma"])
        session.execute("ROLLBACK AND CHAIN")
        session.execute("INSERT INTO library_visit (note) VALUES ('of the next')")

    assert written() == (2, 0)


@pytest.mark.parametrize("way", ["by_copy", "by_raw_psycopg", "by_a_pipeline", "by_many"])
def test_a_session_that_is_lost_in_any_way_leaves_in_doubt_what_was_done(ask, way):
    moment.planned = end_the_session

    answer = ask(f"/books/write/{way}?swallow")

    assert (answer.status_code, answer["Retry-After"]) == (503, "2")
    assert written() == (0, 0)
