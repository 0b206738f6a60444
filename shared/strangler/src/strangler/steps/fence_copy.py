"""Step 2 of a start: only a stream writes the copy, and no stream writes the owner."""

from __future__ import annotations

from strangler.steps.starting import Start
from strangler.steps.step import Step


class FenceCopy(Step[Start]):
    """Local fence on the service's side, replica fence on the monolith's; leavings of an earlier start are removed."""

    name = "fence copy"

    def start(self, move: Start) -> None:
        """The fences come first, so that the emptying itself cannot travel."""
        move.ledger.note_step(move.capability, self.name, epoch=move.epoch)
        move.replication.install()
        move.replication.raise_fences(epoch=move.epoch, patience=move.patience)
        move.replication.clear(epoch=move.epoch)
