"""A circuit breaker around calls that run at the same time.

pybreaker keeps the count and the states; but its own `call` holds a lock for as long as the call lasts, so that the
threads of a process would call one after another. Here it is asked before a call and told after it, and the call runs
between the two without a lock.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pybreaker


class OpenError(Exception):
    """So many calls have failed lately that this one is not tried."""


class _FailureError(Exception):
    """What pybreaker is told."""


class Circuit:
    """Opens after ``failures`` in a row; ``rest`` seconds later one call is tried, and its outcome decides."""

    def __init__(self, name: str, *, failures: int, rest: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rest = rest
        self._clock = clock
        self._breaker = pybreaker.CircuitBreaker(name=name, fail_max=failures)
        self._lock = threading.Lock()
        self._opened = 0.0
        self._trying = False

    @property
    def state(self) -> str:
        """``closed``, ``open`` or ``half-open``."""
        return self._breaker.current_state

    @contextmanager
    def guard(self, *failures: type[Exception]) -> Iterator[None]:
        """Around one call: whatever ends it counts as success, except for ``failures``. Raises OpenError."""
        trial = self._admit()
        try:
            yield
        except failures:
            self._tell(_fail)
            raise
        except Exception:
            self._tell(_succeed)
            raise
        else:
            self._tell(_succeed)
        finally:
            if trial:
                self._trying = False

    def _admit(self) -> bool:
        """Lets a call pass; whether it is the one that is tried."""
        with self._lock:
            if self.state == pybreaker.STATE_CLOSED:
                return False
            if self._trying or self._clock() < self._opened + self._rest:
                raise OpenError
            self._trying = True
            self._breaker.half_open()
            return True

    def _tell(self, outcome: Callable[[], None]) -> None:
        with self._lock:
            if self.state == pybreaker.STATE_OPEN:
                return  # it began before that
            with suppress(pybreaker.CircuitBreakerError, _FailureError):
                self._breaker.call(outcome)
            if self.state == pybreaker.STATE_OPEN:
                self._opened = self._clock()


def _succeed() -> None:
    pass


def _fail() -> None:
    raise _FailureError
