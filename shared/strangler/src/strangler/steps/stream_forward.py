"""Step 5 of a start: the changes since the snapshot."""

from __future__ import annotations

from strangler.steps.starting import CATCH_UP_SECONDS, Start
from strangler.steps.step import Step


class StreamForward(Step[Start]):
    """The forward subscription from the slot's position, caught up."""

    name = "stream forward"

    def start(self, move: Start) -> None:
        """Returns when a marker has arrived."""
        move.ledger.note_step(move.capability, self.name, epoch=move.epoch)
        move.replication.stream_forward(within=CATCH_UP_SECONDS)
