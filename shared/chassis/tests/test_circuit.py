from __future__ import annotations

import pytest
from chassis.circuit import Circuit, OpenError


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
