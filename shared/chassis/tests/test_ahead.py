"""A call that is made while its caller does something else."""

from __future__ import annotations

from contextvars import ContextVar
from threading import Barrier, current_thread

import pytest
from chassis.calls import ahead

about: ContextVar[str] = ContextVar("about")


def test_both_are_under_way_at_the_same_time():
    both = Barrier(2)

    end = ahead.begin(lambda: (both.wait(10), current_thread().name))
    both.wait(10)

    assert end()[1] != current_thread().name


def test_it_has_its_callers_context():
    about.set("an order")

    assert ahead.begin(about.get)() == "an order"


def test_its_error_is_raised_where_its_end_is_awaited():
    def refuse() -> None:
        raise ValueError("no such shelf")

    end = ahead.begin(refuse)

    with pytest.raises(ValueError, match="no such shelf"):
        end()
