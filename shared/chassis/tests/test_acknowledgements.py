from __future__ import annotations

from typing import Any

import pytest
from chassis.messages import acknowledgements
from chassis.messages.acknowledgements import Acknowledgements


class Channel:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, Any]] = []

    def basic_ack(self, tag: Any, multiple: bool = False) -> None:
        self.told.append((tag, multiple))

    def basic_reject(self, tag: Any, requeue: bool) -> None:
        assert requeue
        self.told.append((tag, "back"))


@pytest.fixture
def channel() -> Channel:
    return Channel()


def delivered(channel: Channel, *tags: Any, ordered: bool = True) -> Acknowledgements:
    pending = Acknowledgements(channel, ordered=ordered)
    for tag in tags:
        pending.expect(tag)
    return pending


def test_one_acknowledgement_covers_all_that_is_finished_in_a_row(channel):
    pending = delivered(channel, 1, 2, 3, 4)
    for tag in (3, 1, 2):
        pending.finish(tag)

    pending.flush()

    assert channel.told == [(3, True)]
    assert pending.outstanding


def test_nothing_is_acknowledged_across_an_unfinished_delivery(channel):
    pending = delivered(channel, 1, 2, 3)
    pending.finish(2)
    pending.finish(3)

    pending.flush()

    assert channel.told == []


def test_what_stays_behind_an_unfinished_delivery_is_acknowledged_alone_after_a_while(channel, monkeypatch):
    monkeypatch.setattr(acknowledgements, "BEHIND_SECONDS", 0.0)
    pending = delivered(channel, 1, 2, 3, 4)
    pending.finish(2)
    pending.flush()
    pending.finish(1)
    pending.finish(3)

    pending.flush()

    assert channel.told == [(2, False), (3, True)]


def test_a_delivery_that_was_acknowledged_alone_is_never_the_last_of_many(channel):
    pending = delivered(channel, 1, 2, 3)
    pending.finish(2)
    pending.flush(all=True)
    pending.finish(1)

    pending.flush()
    pending.finish(3)
    pending.flush()

    assert channel.told == [(2, False), (1, True), (3, True)]
    assert not pending.outstanding


def test_where_deliveries_are_not_counted_each_is_acknowledged(channel):
    pending = delivered(channel, "a", "b", "c", ordered=False)
    pending.finish("c")
    pending.finish("a")

    pending.flush()

    assert sorted(channel.told) == [("a", False), ("c", False)]
    assert pending.outstanding


def test_many_finished_deliveries_are_due_at_once(channel, monkeypatch):
    monkeypatch.setattr(acknowledgements, "EVERY_SECONDS", 3600.0)
    pending = delivered(channel, *range(1, 101))
    for tag in range(1, 50):
        pending.finish(tag)
    pending.flush_if_due()
    assert channel.told == []

    pending.finish(50)
    pending.flush_if_due()

    assert channel.told == [(50, True)]


def test_half_of_a_small_window_is_acknowledged_at_once_so_that_the_broker_delivers_more(channel, monkeypatch):
    monkeypatch.setattr(acknowledgements, "EVERY_SECONDS", 3600.0)
    pending = Acknowledgements(channel, ordered=True, window=6)
    for tag in range(1, 7):
        pending.expect(tag)
    assert pending.is_crowded
    pending.finish(1)
    pending.finish(2)
    pending.flush_if_due()
    assert channel.told == []

    pending.finish(3)
    pending.flush_if_due()

    assert channel.told == [(3, True)]
    pending.finish(4)
    pending.flush()
    assert not pending.is_crowded


def test_what_is_not_finished_is_given_back_the_last_first_where_closing_does_not_do_it(channel):
    pending = delivered(channel, "a", "b", "c", ordered=False)
    pending.finish("b")
    pending.flush()

    pending.give_back()

    assert channel.told == [("b", False), ("c", "back"), ("a", "back")]


def test_a_counting_broker_gets_back_what_is_not_finished_by_the_end_of_the_channel(channel):
    delivered(channel, 1, 2).give_back()

    assert channel.told == []
