from __future__ import annotations

import threading
from contextlib import suppress

import pytest
from chassis.process.circuit import Circuit, OpenError

DEADLINE = 20.0


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def circuit(clock) -> Circuit:
    return Circuit("catalogue", failures=2, rest=10, clock=clock)


def fail(circuit: Circuit) -> None:
    with pytest.raises(TimeoutError), circuit.guard(TimeoutError):
        raise TimeoutError


def succeed(circuit: Circuit) -> None:
    with circuit.guard(TimeoutError):
        pass


def test_it_rests_as_long_as_it_was_told(circuit, clock):
    fail(circuit)
    fail(circuit)

    clock.now = 9.9
    with pytest.raises(OpenError):
        succeed(circuit)
    clock.now = 10.0
    succeed(circuit)
    assert circuit.state == "closed"


def test_after_a_trial_that_fails_it_rests_anew(circuit, clock):
    fail(circuit)
    fail(circuit)
    clock.now = 10.0
    fail(circuit)

    clock.now = 19.9
    with pytest.raises(OpenError):
        succeed(circuit)
    clock.now = 20.0
    succeed(circuit)


def test_other_errors_are_no_failures_of_what_is_called(circuit):
    for _ in range(5):
        with pytest.raises(KeyError), circuit.guard(TimeoutError):
            raise KeyError

    assert circuit.state == "closed"


def test_a_call_that_began_before_it_opened_changes_nothing_any_more(circuit):
    with circuit.guard(TimeoutError):
        fail(circuit)
        fail(circuit)

    assert circuit.state == "open"


def test_a_trial_that_is_broken_off_makes_room_for_another(circuit, clock):
    fail(circuit)
    fail(circuit)
    clock.now = 10.0
    with pytest.raises(SystemExit), circuit.guard(TimeoutError):
        raise SystemExit

    succeed(circuit)

    assert circuit.state == "closed"


class Call:
    """A call that lasts, in a thread of its own, until it is told how it ends; ``admitted`` is false where it may not
    begin."""

    def __init__(self, circuit: Circuit) -> None:
        self._circuit = circuit
        self._begun, self._end = threading.Event(), threading.Event()
        self._fails = False
        self.admitted = True
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._begun.wait(DEADLINE)

    def succeed(self) -> None:
        self._finish(fails=False)

    def fail(self) -> None:
        self._finish(fails=True)

    def _finish(self, *, fails: bool) -> None:
        self._fails = fails
        self._end.set()
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        try:
            with suppress(TimeoutError), self._circuit.guard(TimeoutError):
                self._begun.set()
                self._end.wait(DEADLINE)
                if self._fails:
                    raise TimeoutError
        except OpenError:
            self.admitted = False
            self._begun.set()


def admitted(circuit: Circuit, calls: int) -> int:
    return sum(Call(circuit).admitted for _ in range(calls))


def test_a_call_of_before_does_not_close_it_while_the_trial_is_out(circuit, clock):
    slow = Call(circuit)
    fail(circuit)
    fail(circuit)
    clock.now = 10.0
    trial = Call(circuit)

    slow.succeed()

    assert trial.admitted
    assert circuit.state == "half-open"
    assert admitted(circuit, 5) == 0
    trial.fail()
    assert circuit.state == "open"


def test_a_call_of_before_that_fails_does_not_end_the_trial(circuit, clock):
    slow = Call(circuit)
    fail(circuit)
    fail(circuit)
    clock.now = 10.0
    trial = Call(circuit)

    slow.fail()
    trial.succeed()

    assert circuit.state == "closed"


def test_calls_of_before_do_not_count_once_it_has_closed_again(circuit, clock):
    slow = [Call(circuit) for _ in range(5)]
    fail(circuit)
    fail(circuit)
    clock.now = 10.0
    succeed(circuit)

    for call in slow:
        call.fail()
    assert circuit.state == "closed"
    fail(circuit)
    assert circuit.state == "closed"
    fail(circuit)
    assert circuit.state == "open"


def test_a_success_of_before_does_not_interrupt_a_row_of_new_failures(circuit, clock):
    slow = Call(circuit)
    fail(circuit)
    fail(circuit)
    clock.now = 10.0
    succeed(circuit)
    fail(circuit)

    slow.succeed()
    fail(circuit)

    assert circuit.state == "open"


def test_one_of_many_that_come_at_once_is_the_trial(circuit, clock):
    fail(circuit)
    fail(circuit)
    clock.now = 10.0

    calls = [Call(circuit) for _ in range(8)]

    assert [call.admitted for call in calls].count(True) == 1


def test_a_trial_that_never_ends_makes_room_for_another_and_decides_nothing_later(clock):
    circuit = Circuit("catalogue", failures=2, rest=10, patience=4, clock=clock)
    fail(circuit)
    fail(circuit)
    clock.now = 10.0
    lost = Call(circuit)

    clock.now = 13.9
    assert not Call(circuit).admitted
    clock.now = 14.0
    second = Call(circuit)
    assert second.admitted
    lost.succeed()
    assert circuit.state == "half-open"
    second.fail()
    assert circuit.state == "open"
    lost.fail()
    clock.now = 23.9
    assert not Call(circuit).admitted
    clock.now = 24.0
    succeed(circuit)
    assert circuit.state == "closed"


def test_failures_count_in_a_row_only(circuit):
    for _ in range(3):
        fail(circuit)
        succeed(circuit)

    assert circuit.state == "closed"
