"""A circuit breaker around calls that run at the same time.

Note "generation": each opening, closing or trial of the circuit begins a new generation, and a call knows the
generation in which it was let pass. Only outcomes of the present generation count. A slow call that began before the
circuit opened does not say whether the peer has recovered. When it fails at last, it does not say that the peer has
broken again.

The lock is held before a call and after it, never while the call lasts.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

State = Literal["closed", "open", "half-open"]


class OpenError(Exception):
    """So many calls have failed lately that this one is not tried."""


class Circuit:
    """Opens after ``failures`` in a row; ``rest`` seconds later one call is tried, and its outcome decides.

    A trial that has not ended after ``patience`` seconds (``rest`` unless given) decides nothing any more. Then another
    call is tried.
    """

    def __init__(
        self,
        name: str,
        *,
        failures: int,
        rest: float,
        patience: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._most = failures
        self._rest = rest
        self._patience = rest if patience is None else patience
        self._clock = clock
        self._lock = threading.Lock()
        self._state: State = "closed"
        self._generation = 0
        self._failed = 0
        self._next_trial = 0.0

    @property
    def state(self) -> State:
        """As the last call has left it: an open circuit is half-open only while a call is tried."""
        return self._state

    @contextmanager
    def guard(self, *failures: type[Exception]) -> Iterator[None]:
        """Around one call: every end counts as success, except for ``failures``. Raises OpenError."""
        generation = self._admit()
        try:
            yield
        except failures:
            self._tell(generation, self._failure)
            raise
        except Exception:
            self._tell(generation, self._success)
            raise
        except BaseException:
            self._tell(generation, self._broken_off)
            raise
        else:
            self._tell(generation, self._success)

    def _admit(self) -> int:
        """The generation of the call that may pass."""
        with self._lock:
            if self._state == "closed":
                return self._generation
            now = self._clock()
            if now < self._next_trial:
                raise OpenError
            self._enter("half-open")
            self._next_trial = now + self._patience
            return self._generation

    def _tell(self, generation: int, outcome: Callable[[], None]) -> None:
        with self._lock:
            if generation == self._generation:  # see the note "generation"
                outcome()

    def _success(self) -> None:
        self._failed = 0
        if self._state != "closed":
            self._enter("closed")

    def _failure(self) -> None:
        self._failed += 1
        if self._state != "closed" or self._failed >= self._most:
            self._enter("open")
            self._next_trial = self._clock() + self._rest

    def _broken_off(self) -> None:
        """The process ends the call: nobody knows what would have come of it."""
        if self._state == "half-open":
            self._enter("open")
            self._next_trial = self._clock()

    def _enter(self, state: State) -> None:
        self._state = state
        self._generation += 1
        self._failed = 0
