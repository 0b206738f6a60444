"""What the steps of a switch share."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from uuid import UUID

from strangler.ports.ledger import Ledger
from strangler.ports.side import Side

# A request is held for five seconds at most, so a switch that does not succeed is given up before that.
DRAIN_SECONDS = 3.0
PAUSE_SECONDS = 4.0


@dataclass(slots=True)
class Switch:
    """One change of owner, from ``old`` at ``epoch`` to ``new`` at ``target``.

    ``deadline`` (``time.monotonic``) ends the tries to fence, and ``tries`` is their number. ``shut_at`` is when the
    first try shut the door to new writes. ``shut_at`` and ``opened_at`` are ``time.perf_counter`` seconds: the pause
    lies between them. ``events_held`` says at the end that the new owner's events still wait for the old owner's.
    """

    capability: str
    verb: str
    ledger: Ledger
    old: Side
    new: Side
    epoch: int
    deadline: float
    marker: UUID | None = None
    positions: dict[str, int] = field(default_factory=dict)
    tries: int = 0
    shut_at: float | None = None
    opened_at: float | None = None
    taken: bool = False
    lock_ms: int | None = None
    events_held: bool = False

    @property
    def target(self) -> int:
        """The epoch of the new owner."""
        return self.epoch + 1

    @property
    def pause_ms(self) -> float | None:
        """Milliseconds from the first try, which shut the door, to the new owner's lift; tries to fence that failed
        count, too."""
        if self.shut_at is None or self.opened_at is None:
            return None
        return (self.opened_at - self.shut_at) * 1000

    @property
    def hold_events(self) -> bool:
        """Whether the new owner's events have to wait: only if both sides leave their events in an outbox."""
        return self.old.has_outbox and self.new.has_outbox

    def statement_ms(self) -> int:
        """How long one lock attempt may take: less than the time after which any client's session checks for a
        deadlock. The server is asked once, before the pause."""
        if self.lock_ms is None:
            self.lock_ms = max(50, int(min(self.old.deadlock_ms(), self.new.deadlock_ms()) * 0.5))
        return self.lock_ms

    def make_ready(self) -> None:
        """Warms both sessions for the pause; called before the first step, and changes nothing.

        Raises:
            ConfigurationError: an outbox that is configured is not there; after the point of no return it is too late
                to say.
            MoveError: a session cannot be warmed, and why.
        """
        for side in (self.old, self.new):
            side.backlog()
        self.old.warm()
        self.new.warm()

    def left(self) -> float:
        """Seconds that are left for tries."""
        return self.deadline - time.monotonic()
