"""An application whose tables are not in the schema ``public``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from chassis.messages import events, inbox
from chassis.messages.inbox import FencedError
from chassis.models import OutboxMessage
from chassis.ownership import owners
from chassis.testing.sessions import another_session
from django.db import connection, connections, transaction
from django.test import Client
from library.handlers import moment as handled
from library.models import Book, Inbox, Visit
from library.post import message
from library.relays import Ear, relaying
from library.side import Side
from library.urls import moment
from library.waiting import until

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.urls("library.urls"),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="DATABASE_URL names no PostgreSQL"),
]


@pytest.fixture(params=["database", "options"])
def elsewhere(side: Side, request: Any, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Side]:
    """All tables are in a schema that needs quotes; the database's default leads there, or the project's options."""
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "chassis.ownership.fence.FenceMiddleware"]
    settings.CHASSIS_HOLD_SECONDS = 0.1
    moment.passed, moment.planned = 0, None
    handled.clear()
    tables = connection.introspection.table_names()
    name = connection.settings_dict["NAME"]
    with another_session(autocommit=True) as session:
        session.execute('CREATE SCHEMA "App"')
        for table in tables:
            session.execute(f'ALTER TABLE public.{table} SET SCHEMA "App"')
        session.execute("UPDATE strangler.side SET tables = ARRAY['\"App\".library_book', '\"App\".books_inbox']")
        if request.param == "database":
            session.execute(f'ALTER DATABASE {name} SET search_path = "App", pg_temp')
        else:
            options = connection.settings_dict["OPTIONS"] | {"options": '-c search_path="App"'}
            monkeypatch.setitem(connection.settings_dict, "OPTIONS", options)
        connection.close()
        yield side
        connection.close()
        session.execute(f"ALTER DATABASE {name} RESET search_path")
        for table in tables:
            session.execute(f'ALTER TABLE "App".{table} SET SCHEMA public')
        session.execute('DROP SCHEMA "App" CASCADE')


def test_a_table_is_known_by_the_name_that_django_has_for_it(elsewhere):
    elsewhere.fence()
    elsewhere.hand_over()

    for name in ("library_book", "App.library_book", 'App"."library_book'):
        state = owners.closed_by_table(name)
        assert state is not None, name
        assert state.capability == "books"
    assert owners.closed_by_table("library_visit") is None
    assert owners.closed_by_table("public.library_book") is None


def test_a_request_that_meets_the_fence_is_sent_on(elsewhere):
    def turn() -> None:
        elsewhere.fence()
        elsewhere.hand_over()

    moment.planned = turn
    client = Client(headers={"host": "library.example"}, raise_request_exception=False)

    assert client.post("/books/swallow", b"{}", content_type="application/json").status_code in {307, 503}
    assert (Visit.objects.count(), Book.objects.count()) == (0, 0)
    connections.close_all()


def test_messages_are_taken_in_and_refused(elsewhere):
    assert inbox.handle(message(title="Emma"), "books") == "handled"
    assert inbox.handle(message("visits.visit.noted", version=2), "books") == "handled"
    assert inbox.handle(message("visits.visit.noted", version=1), "books") == "older"

    elsewhere.fence()
    with pytest.raises(FencedError):
        inbox.handle(message(title="Persuasion"), "books")

    assert (Book.objects.count(), Inbox.objects.count()) == (2, 2)


def test_messages_are_published(elsewhere, rabbitmq, settings):
    settings.CHASSIS_BROKER_URL = rabbitmq
    settings.CHASSIS_CONSUMES = {}
    with Ear(rabbitmq, ["elsewhere.told"]) as ear:
        with transaction.atomic():
            events.publish(capability="books", type="elsewhere.told", key="1", data={})
        with relaying():
            ear.hear(1)
            until(lambda: not OutboxMessage.objects.exists())
