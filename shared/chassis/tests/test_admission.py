"""How many requests a process works on at a time, and who gives a place away."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from chassis.process import admission
from chassis.process.admission import Admission, AdmissionMiddleware
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from prometheus_client import REGISTRY

DEADLINE = 20.0


def begin(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def waiting() -> float:
    return REGISTRY.get_sample_value("chassis_admission_waiting") or 0.0


class Visit:
    """A thread that takes a place, stays until it is let go, and says what it has come to."""

    def __init__(self, admitted: Admission, *, aside: bool = False) -> None:
        self.inside = threading.Event()
        self.returned = threading.Event()
        self._go = threading.Event()
        self._admitted = admitted
        self._aside = aside
        self.thread = begin(self._stay)

    def let_go(self) -> None:
        self._go.set()

    def _stay(self) -> None:
        with self._admitted.at_work():
            self.inside.set()
            if self._aside:
                with self._admitted.aside():
                    self._go.wait(DEADLINE)
                self.returned.set()
            else:
                self._go.wait(DEADLINE)


def test_a_third_waits_while_two_are_at_work_and_comes_in_when_one_has_ended():
    admitted = Admission(2)
    first, second = Visit(admitted), Visit(admitted)
    assert first.inside.wait(DEADLINE)
    assert second.inside.wait(DEADLINE)
    third = Visit(admitted)
    assert not third.inside.wait(0.1)  # the only proof that it waits is that nothing comes
    first.let_go()
    assert third.inside.wait(DEADLINE)
    second.let_go()
    third.let_go()


def test_whoever_leaves_and_comes_again_comes_after_those_who_wait():
    admitted = Admission(1)
    came: list[str] = []

    def work(name: str) -> None:
        with admitted.at_work():
            came.append(name)

    with admitted.at_work():
        for ahead, name in enumerate(("first", "second")):
            begin(lambda name=name: work(name))
            eventually(lambda ahead=ahead: waiting() > ahead)
    work("again")

    assert came == ["first", "second", "again"]
    assert waiting() == 0


def test_who_stands_aside_lets_another_in_and_waits_for_a_turn_to_come_back():
    admitted = Admission(1)
    waiting = Visit(admitted, aside=True)
    assert waiting.inside.wait(DEADLINE)
    worker = Visit(admitted)
    assert worker.inside.wait(DEADLINE)
    waiting.let_go()
    assert not waiting.returned.wait(0.1)
    worker.let_go()
    assert waiting.returned.wait(DEADLINE)


def test_a_place_is_free_again_after_an_error():
    admitted = Admission(1)
    with pytest.raises(ZeroDivisionError), admitted.at_work():
        raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError), admitted.at_work(), admitted.aside():
        raise ZeroDivisionError
    visit = Visit(admitted)
    assert visit.inside.wait(DEADLINE)
    visit.let_go()


def test_a_thread_that_has_a_place_needs_no_second():
    admitted = Admission(1)
    with admitted.at_work(), admitted.at_work():
        visit = Visit(admitted)
        assert not visit.inside.wait(0.1)
    assert visit.inside.wait(DEADLINE)
    visit.let_go()


def test_standing_aside_without_a_place_takes_none():
    admitted = Admission(1)
    with admitted.at_work():
        outsider = threading.Event()

        def pass_by() -> None:
            with admitted.aside():
                pass
            outsider.set()

        begin(pass_by)
        assert outsider.wait(DEADLINE)


@pytest.mark.django_db(transaction=True)
def test_within_a_transaction_the_place_is_kept():
    admitted = Admission(1)
    with admitted.at_work(), transaction.atomic(), admitted.aside():
        visit = Visit(admitted)
        assert not visit.inside.wait(0.1)
    assert visit.inside.wait(DEADLINE)
    visit.let_go()


def test_the_middleware_admits_as_many_as_the_process_has_places(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(admission, "_process", Admission(1))
    at_work, go, aside = threading.Event(), threading.Event(), threading.Event()

    def wait_for_another(_: HttpRequest) -> HttpResponse:
        with admission.aside():
            aside.set()
            at_work.wait(DEADLINE)
        return HttpResponse("waited")

    def work(_: HttpRequest) -> HttpResponse:
        at_work.set()
        go.wait(DEADLINE)
        return HttpResponse("worked")

    answers: list[bytes] = []
    waits = begin(lambda: answers.append(AdmissionMiddleware(wait_for_another)(HttpRequest()).content))
    assert aside.wait(DEADLINE)
    works = begin(lambda: answers.append(AdmissionMiddleware(work)(HttpRequest()).content))
    assert at_work.wait(DEADLINE)
    go.set()
    waits.join(DEADLINE)
    works.join(DEADLINE)
    assert sorted(answers) == [b"waited", b"worked"]


@pytest.mark.parametrize(("told", "places"), [("", 4), ("2", 2), ("0", 1)])
def test_the_environment_says_how_many_places_there_are(monkeypatch: pytest.MonkeyPatch, told: str, places: int):
    monkeypatch.setenv("WEB_AT_WORK", told)
    assert admission.settings.at_work() == places
