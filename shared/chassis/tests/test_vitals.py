from __future__ import annotations

import multiprocessing
import threading

import pytest
from chassis.process import vitals
from chassis.process.vitals import Pulse
from chassis.servers.worker import Clock
from library.waiting import until


@pytest.fixture(autouse=True)
def nothing_followed(monkeypatch):
    monkeypatch.setattr(vitals, "_followed", set())


def test_a_loop_that_stands_still_is_named_until_it_goes_on():
    go, went, leave = threading.Event(), threading.Event(), threading.Event()

    def turn() -> None:
        with vitals.loop("carousel", within=0.05):
            go.wait(20)
            vitals.beat()
            went.set()
            while not leave.wait(0.005):
                vitals.beat()

    thread = threading.Thread(target=turn)
    thread.start()
    until(lambda: vitals.stuck() == ["carousel"])

    go.set()
    assert went.wait(20)
    until(lambda: vitals.stuck() == [])
    leave.set()
    thread.join()


def test_a_loop_that_ends_in_order_is_no_longer_followed():
    with vitals.loop("carousel", within=0):
        pass

    assert vitals.stuck() == []


def test_a_loop_that_an_error_has_ended_stays_stuck():
    with pytest.raises(ZeroDivisionError), vitals.loop("carousel"):
        raise ZeroDivisionError

    assert vitals.stuck() == ["carousel"]


def test_a_sign_of_life_is_that_of_the_innermost_loop_of_its_thread():
    with vitals.loop("outer", within=1000), vitals.loop("inner", within=-1):
        assert vitals.stuck() == ["inner"]
        vitals.beat()
        assert vitals.stuck() == ["inner"]

    assert vitals.stuck() == []


def test_a_sign_of_life_outside_a_loop_is_no_error():
    vitals.beat()


def test_a_process_that_has_ended_by_itself_is_stuck():
    clock = Clock(process := multiprocessing.get_context("spawn").Process(target=int))
    assert not clock.stuck, "it has not been started yet"

    process.start()

    until(lambda: clock.stuck, 60)
    process.join()


def test_what_waits_without_a_limit_is_not_followed_meanwhile():
    pulse = Pulse("reader", within=-1)
    vitals.follow(pulse)
    assert vitals.stuck() == ["reader"]

    vitals.forget(pulse)
    vitals.forget(pulse)

    assert vitals.stuck() == []
