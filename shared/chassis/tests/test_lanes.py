"""Lanes without a broker: what they take at once, and what becomes of it."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterator, Sequence

import pytest
from chassis.messages import inbox, lanes
from chassis.messages.events import Message
from chassis.messages.lanes import Delivery, Lanes
from chassis.ownership.watch import Watch
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, transaction
from library.handlers import moment
from library.models import Book, Inbox
from library.post import message
from library.waiting import until

pytestmark = [
    pytest.mark.skipif(connection.vendor != "postgresql", reason="the inbox is written in PostgreSQL's SQL"),
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("no_moment", "_known_pace"),
]


class Subscription:
    """Stands for a channel: notes what needs no second delivery."""

    def __init__(self) -> None:
        self.ended = threading.Event()
        self.finished: list[Hashable] = []

    def finish(self, tag: Hashable) -> None:
        self.finished.append(tag)

    def end(self) -> None:
        self.ended.set()


@pytest.fixture
def _known_pace(db, monkeypatch) -> None:
    """A handler's first message is handled alone; and on a busy machine it takes long, which is not what is tested."""
    monkeypatch.setattr(lanes, "TOGETHER_SECONDS", 60.0)
    inbox.handle(message("books.shelve", title="the first"), "books")
    Book.objects.all().delete()
    Inbox.objects.all().delete()
    moment.clear()


@pytest.fixture
def one_lane() -> Iterator[Lanes]:
    """Not started yet, so that messages wait together."""
    lanes = Lanes("books", Watch(), count=1)
    yield lanes
    moment.clear()
    lanes.stop(10.0)


def handled(lanes: Lanes, messages: Sequence[Message]) -> Subscription:
    subscription = Subscription()
    for told in messages:
        lanes.put(Delivery(subscription, str(told.id), told.encode(), {}, told))
    lanes.start()
    lanes.begin()
    until(lambda: len(subscription.finished) == len(messages) or subscription.ended.is_set())
    return subscription


def shelves(*titles: str) -> list[Message]:
    return [message("books.shelve", key=title, title=title) for title in titles]


def transactions() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(DISTINCT xmin::text) FROM books_inbox")
        return int(cursor.fetchone()[0])


def test_messages_that_allow_it_share_a_transaction(one_lane):
    handled(one_lane, shelves("Emma", "Persuasion", "Sanditon"))

    assert moment.passed == ["Emma", "Persuasion", "Sanditon"]
    assert (Book.objects.count(), Inbox.objects.count(), transactions()) == (3, 3, 1)


def test_others_are_alone_in_theirs(one_lane):
    handled(one_lane, [message(key=title, title=title) for title in ("Emma", "Persuasion", "Sanditon")])

    assert (Book.objects.count(), transactions()) == (3, 3)


def test_those_that_have_been_slow_are_alone(one_lane, monkeypatch):
    monkeypatch.setattr(lanes, "TOGETHER_SECONDS", 0.0)

    handled(one_lane, shelves("Emma", "Persuasion", "Sanditon"))

    assert (Book.objects.count(), transactions()) == (3, 3)


def test_those_of_one_key_are_handled_one_after_another(one_lane):
    numbered = [message("books.shelve", key=str(number % 2), title=f"{number}") for number in range(6)]

    handled(one_lane, numbered)

    assert [title for title in moment.passed if int(title) % 2] == ["1", "3", "5"]
    assert [title for title in moment.passed if not int(title) % 2] == ["0", "2", "4"]
    assert transactions() == 3


def test_what_was_handled_before_has_no_second_effect_and_stops_no_other(one_lane):
    told = shelves("Emma", "Persuasion", "Sanditon")
    inbox.handle(told[1], "books")

    subscription = handled(one_lane, told)

    assert Book.objects.count() == 3
    assert len(subscription.finished) == 3


@pytest.mark.parametrize("harm", ["error", "database", "rollback"])
def test_what_one_of_them_does_wrong_harms_no_other(one_lane, harm):
    """It does so once: each of them is then handled by itself, and succeeds."""
    harms = iter([harm])

    def plan() -> None:
        if moment.passed[-1] == "Persuasion":
            _do(next(harms, ""))

    moment.planned = plan
    handled(one_lane, shelves("Emma", "Persuasion", "Sanditon"))

    assert sorted(Book.objects.values_list("title", flat=True)) == ["Emma", "Persuasion", "Sanditon"]
    assert (Inbox.objects.count(), transactions()) == (3, 3)


def _do(harm: str) -> None:
    if harm == "error":
        raise ValueError("once")
    if harm == "database":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    if harm == "rollback":
        transaction.set_rollback(True)


def test_a_fence_that_one_of_them_meets_gives_all_of_them_back(one_lane, side):
    side.fence()

    subscription = handled(one_lane, shelves("Emma", "Persuasion", "Sanditon"))

    assert subscription.ended.is_set()
    assert subscription.finished == []
    assert not Book.objects.exists()
    assert not Inbox.objects.exists()


def test_a_slow_one_holds_up_only_its_own_key(monkeypatch):
    lanes = Lanes("books", Watch(), count=2)
    inside, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        if moment.passed[-1] == "slow":
            inside.set()
            assert go_on.wait(60)

    moment.planned = hold
    subscription = Subscription()
    lanes.start()
    for key, title in (("1", "slow"), ("1", "behind it"), ("2", "beside it")):
        told = message("books.add", key=key, title=title)
        lanes.put(Delivery(subscription, title, told.encode(), {}, told))
        lanes.begin()
    assert inside.wait(60)
    until(lambda: subscription.finished == ["beside it"])
    go_on.set()
    until(lambda: subscription.finished == ["beside it", "slow", "behind it"])

    lanes.stop(10.0)


def test_the_lane_that_has_worked_last_gets_the_next_message():
    lanes = Lanes("books", Watch(), count=4)
    workers: set[str] = set()
    moment.planned = lambda: workers.add(threading.current_thread().name)
    lanes.start()
    for number in range(12):
        until(lambda: len(lanes._free) == 4)
        handled_on(lanes, [message(key=str(number), title=f"{number}")])

    lanes.stop(10.0)
    assert len(workers) == 1


def test_all_lanes_work_where_there_is_work_for_all():
    lanes = Lanes("books", Watch(), count=4)
    together = threading.Barrier(4, timeout=60)
    moment.planned = together.wait
    lanes.start()

    subscription = Subscription()
    for number in range(4):
        told = message(key=str(number), title=f"{number}")
        lanes.put(Delivery(subscription, number, told.encode(), {}, told))
    lanes.begin()

    until(lambda: len(subscription.finished) == 4)
    lanes.stop(10.0)


def test_nothing_is_begun_after_the_end_of_its_subscription(one_lane):
    subscription = Subscription()
    for told in shelves("Emma", "Persuasion"):
        one_lane.put(Delivery(subscription, str(told.id), told.encode(), {}, told))
    subscription.end()

    one_lane.start()
    one_lane.begin()
    later = handled_on(one_lane, shelves("Sanditon"))

    assert moment.passed == ["Sanditon"]
    assert len(later.finished) == 1
    assert one_lane.finish(10.0)


def handled_on(lanes: Lanes, messages: Sequence[Message]) -> Subscription:
    subscription = Subscription()
    for told in messages:
        lanes.put(Delivery(subscription, str(told.id), told.encode(), {}, told))
    lanes.begin()
    until(lambda: len(subscription.finished) == len(messages))
    return subscription


@pytest.mark.parametrize("more", [{"before": str}, {"newest_only": True}])
def test_a_handler_that_has_to_be_alone_cannot_allow_it(more):
    with pytest.raises(ImproperlyConfigured, match="alone in its transaction"):
        inbox.handles("books.never", capability="books", together=True, **more)
