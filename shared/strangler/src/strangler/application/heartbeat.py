"""The heartbeat of canaries: while one is on, the copy hears many times a second how far it has come."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from strangler.domain import canary
from strangler.domain.move import Move
from strangler.ports.ledger import Ledger
from strangler.ports.side import LostError, Side

BEAT_SECONDS = 0.025
LOOK_SECONDS = 1.0


class Heartbeat:
    """Of all capabilities of one project, for as long as `turn` is called.

    ``sides`` are the monolith's, by capability; a session is opened by the first heartbeat.
    """

    def __init__(self, ledger: Ledger, sides: Mapping[str, Side], clock: Callable[[], float]) -> None:
        self._ledger = ledger
        self._sides = sides
        self._clock = clock
        self._on: Sequence[Move] | None = None
        self._looked = 0.0

    def turn(self) -> None:
        """Sends one heartbeat for each canary that is on, and waits for the next or for a change of the ledger.

        Raises:
            StranglerError: a server is away; the caller calls again.
        """
        try:
            if self._on is None:
                if not self._ledger.exists():
                    self._ledger.install()
                self._ledger.listen()
            if self._on is None or self._clock() - self._looked >= LOOK_SECONDS:
                self._look()
            for move in self._on or ():
                self._sides[move.capability].beat(move.epoch)
            if self._ledger.await_change(within=BEAT_SECONDS if self._on else LOOK_SECONDS):
                self._look()
        except LostError:
            self._on = None
            raise

    def rest(self) -> None:
        """Ends every session; `turn` opens them again."""
        self._on = None
        for side in self._sides.values():
            side.close()
        self._ledger.close()

    def _look(self) -> None:
        self._looked = self._clock()
        self._on = [move for move in self._ledger.moves() if canary.of(move).on and move.capability in self._sides]
