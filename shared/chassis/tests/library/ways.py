"""Every way in which a program can write a book, for views, handlers and tasks that do it in a bad moment."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from chassis.testing.sessions import another_session
from django.db import connection, connections, transaction
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path
from rest_framework.decorators import api_view, authentication_classes, permission_classes
from rest_framework.request import Request
from rest_framework.response import Response

from library.models import Book, Visit
from library.sessions import another_asynchronous_session
from library.urls import moment

INSERT = "INSERT INTO library_book (title) VALUES (%s)"
SECOND = "second"


def by_the_orm() -> None:
    Book.objects.create(title="Emma")


def by_copy() -> None:
    with connection.cursor() as cursor, cursor.copy("COPY library_book (title) FROM STDIN") as copy:
        copy.write_row(["Emma"])


def by_many() -> None:
    with connection.cursor() as cursor:
        cursor.executemany(INSERT, [["Emma"], ["Persuasion"]])


def by_raw_psycopg() -> None:
    connection.ensure_connection()
    connection.connection.execute(INSERT, ["Emma"])


def by_a_pipeline() -> None:
    connection.ensure_connection()
    with connection.connection.pipeline():
        connection.connection.execute(INSERT, ["Emma"])


def by_a_function() -> None:
    """One that swallows errors itself."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT write_quietly()")


def by_another_alias() -> None:
    Book.objects.using(SECOND).create(title="Emma")


def by_a_copy_of_another_alias() -> None:
    with connections[SECOND].cursor() as cursor, cursor.copy("COPY library_book (title) FROM STDIN") as copy:
        copy.write_row(["Emma"])


def by_a_connection_of_its_own() -> None:
    with another_session() as session:
        session.execute(INSERT, ["Emma"])


def by_an_asynchronous_connection() -> None:
    async def work() -> None:
        async with await another_asynchronous_session() as session:
            await session.execute(INSERT, ["Emma"])

    asyncio.run(work())


def by_a_copy_of_an_asynchronous_connection() -> None:
    async def work() -> None:
        async with (
            await another_asynchronous_session() as session,
            session.cursor() as cursor,
            cursor.copy("COPY library_book (title) FROM STDIN") as copy,
        ):
            await copy.write_row(["Emma"])

    asyncio.run(work())


WAYS: dict[str, Callable[[], None]] = {
    function.__name__: function
    for function in (
        by_the_orm,
        by_copy,
        by_many,
        by_raw_psycopg,
        by_a_pipeline,
        by_a_function,
        by_another_alias,
        by_a_copy_of_another_alias,
        by_a_connection_of_its_own,
        by_an_asynchronous_connection,
        by_a_copy_of_an_asynchronous_connection,
    )
}
VISIT = "INSERT INTO library_visit (note) VALUES ('elsewhere')"
FUNCTIONS = f"""
CREATE OR REPLACE FUNCTION visit() RETURNS void LANGUAGE sql AS $$ {VISIT} $$;
CREATE OR REPLACE PROCEDURE visit_and_commit() LANGUAGE plpgsql AS $$ BEGIN {VISIT}; COMMIT; END $$;
CREATE OR REPLACE PROCEDURE visit_and_fail() LANGUAGE plpgsql AS $$ BEGIN
{VISIT}; COMMIT; PERFORM 1 / 0; END $$;
"""
# Each leaves a visit that cannot be undone: one text after another, by a connection with autocommit or without.
COMMITTED: dict[str, tuple[bool, list[str]]] = {
    "several": (False, [VISIT, "SELECT 1; COMMIT"]),
    "after a savepoint": (False, [VISIT, "SAVEPOINT s", "ROLLBACK TO s; COMMIT"]),
    "after a failure": (False, [VISIT, "SAVEPOINT s", "SELECT 1/0", "ROLLBACK TO s; COMMIT"]),
    "and chain": (False, [VISIT, "COMMIT AND CHAIN"]),
    "end": (False, [VISIT, "/* it is /* the */ */ END -- of it"]),
    "before a failure": (False, [VISIT, "COMMIT; SELECT 1/0"]),
    "rolled back before": (False, ["ROLLBACK AND CHAIN", VISIT, "COMMIT"]),
    "all in one": (True, [f"BEGIN; {VISIT}; COMMIT"]),
    "with": (True, [f"WITH x AS ({VISIT} RETURNING 1) SELECT * FROM x"]),
    "explain": (True, [f"EXPLAIN ANALYZE {VISIT}"]),
    "function": (True, ["SELECT visit()"]),
    "quoted function": (True, ['SELECT "visit"()']),
    "procedure": (True, ["CALL visit_and_commit()"]),
    "failing procedure": (True, ["CALL visit_and_fail()"]),
    "block": (True, [f"DO $x$ BEGIN {VISIT}; END $x$"]),
    "failing block": (True, [f"DO $$ BEGIN {VISIT}; COMMIT; PERFORM 1/0; END $$"]),
    "prepared": (True, [f"PREPARE p AS {VISIT}", "EXECUTE p"]),
}
UNDONE: dict[str, tuple[bool, list[str]]] = {
    "rolled back": (False, [VISIT, "ROLLBACK"]),
    "failed": (False, [VISIT, "SELECT 1/0", "COMMIT"]),
    "read": (True, ['SELECT count(*), LOWER(max(note)) FROM "library_visit" WHERE (id IN (1, 2)) FOR UPDATE']),
    "read twice": (True, ["SELECT now()", "WITH x AS (SELECT ';COMMIT') SELECT * FROM x -- INSERT"]),
    "failed in autocommit": (True, [f"{VISIT}; SELECT 1/0"]),
    "set": (True, ["SET statement_timeout = '5s'", "SHOW statement_timeout", "EXPLAIN SELECT 1"]),
}


@contextmanager
def taking_no_notice(wanted: bool) -> Iterator[None]:
    """Whatever is raised inside is swallowed, where that is wanted."""
    try:
        yield
    except Exception:
        if not wanted:
            raise


def write(request: HttpRequest, way: str) -> HttpResponse:
    """Two rows, the second in the way that is named, in a savepoint."""
    Visit.objects.create(note="of a view")
    moment()
    with taking_no_notice("swallow" in request.GET), transaction.atomic():
        WAYS[way]()
    return HttpResponse(status=201)


@transaction.non_atomic_requests
def write_in_its_own(request: HttpRequest, way: str) -> HttpResponse:
    """The same, by a view that opens its transaction itself."""
    with transaction.atomic():
        return write(request, way)


@api_view(["POST"])
@authentication_classes([])
@permission_classes([])
def write_in_rest(request: Request, way: str) -> Response:
    """The same, by a view that makes an answer of every error."""
    try:
        write(request._request, way)
    except Exception:  # noqa: BLE001  which is what is tried
        return Response({"detail": "a pity"}, status=200)
    return Response(status=201)


STATEMENTS = COMMITTED | UNDONE


async def _visit_asynchronously() -> None:
    async with await another_asynchronous_session() as session:
        await session.execute(VISIT)


def write_elsewhere_first(request: HttpRequest, way: str) -> HttpResponse:
    """Has committed a row by another session before it writes the book."""
    if way == "raw":
        with another_session() as session:
            session.execute("INSERT INTO library_visit (note) VALUES ('elsewhere')")
    elif way == "copy":
        with connections[SECOND].cursor() as cursor, cursor.copy("COPY library_visit (note) FROM STDIN") as copy:
            copy.write_row(["elsewhere"])
    elif way in STATEMENTS:
        autocommit, texts = STATEMENTS[way]
        session = another_session(autocommit=autocommit)
        for text in texts:
            with taking_no_notice(True):
                session.execute(text)
        session.close()
    elif way == "many":
        with another_session(autocommit=True) as session, session.cursor() as cursor:
            cursor.executemany("INSERT INTO library_visit (note) VALUES (%s)", [["elsewhere"]])
    elif way == "pipeline":
        with another_session(autocommit=True) as session, session.pipeline():
            session.execute(VISIT)
    elif way == "broken pipeline":
        with another_session() as session, taking_no_notice(True), session.pipeline():
            session.execute(VISIT)
            session.commit()
            session.execute("SELECT 1/0")
    elif way == "asynchronous":
        asyncio.run(_visit_asynchronously())
    elif way == "read":
        assert not Visit.objects.using(SECOND).exists()
    elif way == "undone":
        with transaction.atomic(using=SECOND):
            Visit.objects.using(SECOND).create(note="elsewhere")
            transaction.set_rollback(True, using=SECOND)
    else:
        Visit.objects.using(SECOND).create(note="elsewhere")
    moment()
    with taking_no_notice("swallow" in request.GET), transaction.atomic():
        Book.objects.create(title="Emma")
    return HttpResponse(status=201)


def write_durably(request: HttpRequest, way: str) -> HttpResponse:
    """Wants to know that the visit is kept before it goes on; both rows or none."""
    with transaction.atomic(durable=True):
        return write(request, way)


def write_afterwards(request: HttpRequest, way: str) -> HttpResponse:
    """Writes the book when all is committed, against the rules."""
    Visit.objects.create(note="committed")
    transaction.on_commit(WAYS[way], robust="robust" in request.GET)
    moment()
    return HttpResponse(status=201)


def write_in_a_stream(request: HttpRequest, way: str) -> StreamingHttpResponse:
    """Writes the book while its answer is sent, and takes no notice of refusals."""

    def body() -> Iterator[str]:
        yield "one"
        moment()
        with taking_no_notice(True):
            WAYS[way]()
        yield "two"

    return StreamingHttpResponse(body())


def write_in_a_thread(request: HttpRequest, way: str) -> HttpResponse:
    """Lets another thread write, whose transaction is its own."""

    def work() -> None:
        with taking_no_notice(True), transaction.atomic():
            Visit.objects.create(note="of a thread")
            with taking_no_notice(True), transaction.atomic():
                WAYS[way]()
        connections.close_all()

    moment()
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return HttpResponse(status=201)


urlpatterns = [
    path("books/write/<way>", write),
    path("books/own/<way>", write_in_its_own),
    path("books/rest/<way>", write_in_rest),
    path("books/elsewhere/<way>", write_elsewhere_first),
    path("books/durable/<way>", write_durably),
    path("books/afterwards/<way>", write_afterwards),
    path("books/stream/<way>", write_in_a_stream),
    path("books/thread/<way>", write_in_a_thread),
]
