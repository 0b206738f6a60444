"""Step 6 of a start: the way back."""

from __future__ import annotations

from strangler.steps.starting import CATCH_UP_SECONDS, Start
from strangler.steps.step import Step


class StreamBack(Step[Start]):
    """The reverse slot and subscription. They are made only now: before the copy, they would bring the copied rows
    back."""

    name = "stream back"

    def start(self, move: Start) -> None:
        """Returns when a marker has arrived."""
        move.ledger.note_step(move.capability, self.name, epoch=move.epoch)
        move.replication.stream_reverse(within=CATCH_UP_SECONDS)
