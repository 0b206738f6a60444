"""What a worker does by the clock goes on, whatever one of its chores meets."""

from __future__ import annotations

import threading
from datetime import timedelta
from uuid import uuid4

import pytest
from chassis import settings
from chassis.models import PublishedMessage
from chassis.sagas import saga
from chassis.servers import timers
from chassis.servers.timers import Timers
from django.db import OperationalError, connection
from django.utils import timezone
from library.models import Answer


def counted(reached: threading.Event, times: int, fault: Exception | None = None):
    seen = []

    def chore() -> None:
        seen.append(None)
        if len(seen) == times:
            reached.set()
        if fault is not None:
            raise fault

    return chore


@pytest.fixture
def started():
    made = []

    def start(*chores):
        made.append(Timers(chores))
        made[-1].start()
        return made[-1]

    yield start
    for each in made:
        each.stop()


def test_a_chore_is_done_again_and_again(started):
    reached = threading.Event()

    started((0.01, counted(reached, 3)))

    assert reached.wait(60)


@pytest.mark.parametrize("fault", [OperationalError("away"), ValueError("a fault of its own")])
def test_a_chore_that_fails_stops_neither_itself_nor_the_others(started, fault):
    again, other = threading.Event(), threading.Event()

    started((0.01, counted(again, 3, fault)), (0.01, counted(other, 3)))

    assert again.wait(60)
    assert other.wait(60)


def test_a_stop_before_the_start_is_no_error():
    Timers([]).stop()


def test_deadlines_are_among_the_chores(monkeypatch):
    looked = threading.Event()
    monkeypatch.setattr(saga, "expire", lambda limit: looked.set())
    monkeypatch.setattr(timers, "tidy", lambda: None)
    made = Timers()
    made.start()

    assert looked.wait(60)
    made.stop()


@pytest.mark.django_db
@pytest.mark.skipif(connection.vendor != "postgresql", reason="needs PostgreSQL: DATABASE_URL names none")
def test_what_is_old_is_forgotten_and_what_is_not_is_kept():
    old = timezone.now() - timedelta(days=settings.idempotency_days() + 1)
    for key, at in (("old", old), ("new", timezone.now())):
        Answer.objects.create(caller="account:1", key=key, digest="", status=200, body=b"", created_at=at)

    timers.tidy()

    assert list(Answer.objects.values_list("key", flat=True)) == ["new"]


@pytest.mark.django_db
@pytest.mark.skipif(connection.vendor != "postgresql", reason="needs PostgreSQL: DATABASE_URL names none")
def test_published_events_are_forgotten_when_they_are_past_replaying():
    old = timezone.now() - timedelta(days=settings.replay_days() + 1)
    for number, at in enumerate((old, timezone.now())):
        PublishedMessage.objects.create(
            id=number, message_id=uuid4(), capability="books", type="books.lent", key="1", lane=0, body=b"",
            created_at=at, published_at=at,
        )  # fmt: skip

    timers.forget_published()

    assert list(PublishedMessage.objects.values_list("id", flat=True)) == [1]
