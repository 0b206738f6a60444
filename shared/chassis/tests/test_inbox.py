from __future__ import annotations

import threading
from uuid import uuid4

import pytest
from chassis.messages import inbox
from chassis.messages.inbox import FencedError
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError, connection, transaction
from library.handlers import moment
from library.models import Book, Inbox, Visit
from library.post import message
from library.sessions import end_the_session

postgresql = pytest.mark.skipif(connection.vendor != "postgresql", reason="the inbox is written in PostgreSQL's SQL")
pytestmark = [postgresql, pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("no_moment")]


def titles() -> list[str]:
    return sorted(Book.objects.values_list("title", flat=True))


def test_the_effect_and_the_id_are_written_together():
    told = message(title="Emma")

    assert inbox.handle(told, "books") == "handled"

    row = Inbox.objects.get()
    assert (row.message_id, row.type, row.subject) == (told.id, "books.add", "1")
    assert titles() == ["Emma"]


def test_a_message_that_comes_twice_has_one_effect():
    told = message(title="Emma")

    outcomes = [inbox.handle(told, "books") for _ in range(2)]

    assert outcomes == ["handled", "duplicate"]
    assert titles() == ["Emma"]


def test_a_handler_that_fails_leaves_neither_effect_nor_id():
    with pytest.raises(ValueError, match="no such shelf"):
        inbox.handle(message("books.refuse"), "books")

    assert not Book.objects.exists()
    assert not Inbox.objects.exists()


def test_a_type_without_a_handler_is_ignored():
    assert inbox.handle(message("books.unheard_of"), "books") == "ignored"
    assert inbox.handle(message("books.add", title="Emma"), "visits") == "ignored"
    assert not Inbox.objects.exists()


def test_an_older_version_of_a_subject_is_not_handled():
    outcomes = [
        inbox.handle(message("visits.visit.noted", key=key, version=version), "books")
        for key, version in (("1", 2), ("1", 1), ("2", 1), ("1", 2), ("1", 3))
    ]

    assert outcomes == ["handled", "older", "handled", "handled", "handled"]
    assert titles() == ["1 2", "1 2", "1 3", "2 1"]


def test_a_newer_version_that_comes_twice_is_a_duplicate_and_not_older():
    told = message("visits.visit.noted", version=2)

    outcomes = [inbox.handle(told, "books"), inbox.handle(told, "books")]

    assert outcomes == ["handled", "duplicate"]


def test_of_two_versions_at_once_the_older_waits_and_is_dropped():
    inside, older_done = threading.Event(), threading.Event()
    outcomes: dict[int, str] = {}

    def handle(version: int) -> None:
        outcomes[version] = inbox.handle(message("visits.visit.noted", version=version), "books")
        connection.close()

    def hold_the_newer() -> None:
        inside.set()
        assert not older_done.wait(0.3), "the older one did not wait"

    moment.planned = hold_the_newer
    newer = threading.Thread(target=handle, args=(2,))
    newer.start()
    assert inside.wait(60)
    moment.planned = lambda: None
    handle(1)
    older_done.set()
    newer.join()

    assert outcomes == {2: "handled", 1: "older"}


def test_what_is_asked_before_runs_outside_the_transaction_and_not_for_a_duplicate():
    told = message("books.ask", title="emma")

    outcomes = [inbox.handle(told, "books") for _ in range(2)]

    assert outcomes == ["handled", "duplicate"]
    assert moment.passed == ["asked"]
    assert titles() == ["EMMA"]


def test_a_message_for_a_closed_capability_is_refused_before_its_handler_runs(side):
    side.fence()

    with pytest.raises(FencedError) as refused:
        inbox.handle(message(title="Emma"), "books")

    assert refused.value.capability == "books"
    assert moment.passed == []


def test_a_fence_that_the_handler_swallows_undoes_its_other_writes(side):
    # The inbox row is written before the fence is up, the book after.
    moment.planned = lambda: connection.cursor().execute("CALL pg_temp.shut()")
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE PROCEDURE pg_temp.shut() LANGUAGE plpgsql AS $$ BEGIN "
            "ALTER TABLE library_book ENABLE TRIGGER strangler_fence; END $$"
        )

    with pytest.raises(FencedError):
        inbox.handle(message("books.swallow"), "books")

    assert not Visit.objects.exists()
    assert not Inbox.objects.exists()


def test_a_lost_session_that_the_handler_swallows_is_no_handled_message():
    moment.planned = end_the_session

    with pytest.raises(OperationalError):
        inbox.handle(message("books.swallow-inside"), "books")

    connection.close()
    assert not Visit.objects.exists()
    assert not Inbox.objects.exists()


def test_an_id_that_another_transaction_is_writing_is_waited_for():
    told = message(title="Emma")
    outcome: list[str] = []

    def second() -> None:
        outcome.append(inbox.handle(told, "books"))
        connection.close()

    thread = threading.Thread(target=second)
    with transaction.atomic():
        inbox.handle(told, "books")
        thread.start()
        thread.join(0.3)
        assert thread.is_alive()
    thread.join()

    assert outcome == ["duplicate"]
    assert titles() == ["Emma"]


def test_two_functions_cannot_handle_one_type():
    def another(message: object) -> None: ...

    with pytest.raises(ImproperlyConfigured, match=r"books\.add.*leave one"):
        inbox.handles("books.add", capability="books")(another)


@pytest.mark.parametrize(
    ("inboxes", "problem"),
    [({}, "names no inbox"), ({"books": "library.Nothing"}, "no model"), ({"books": "library.Book"}, "no InboxRow")],
)
def test_an_inbox_that_is_not_there_is_named(settings, inboxes, problem):
    settings.CHASSIS_INBOXES = inboxes

    with pytest.raises(ImproperlyConfigured, match=problem):
        inbox.handle(message(id=uuid4(), title="Emma"), "books")
