"""Steps 3 and 4 of a start: publications, the slot, and the rows of its snapshot."""

from __future__ import annotations

import time

from strangler.steps.starting import Start
from strangler.steps.step import Step


class CopyRows(Step[Start]):
    """Copies everything up to the slot's position, by ranges in parallel; rows count only once they are flushed."""

    name = "copy rows"

    def start(self, move: Start) -> None:
        """Copies, then puts indexes and constraints back."""
        move.ledger.note_step(move.capability, self.name, epoch=move.epoch)
        began = time.monotonic()
        move.rows = move.replication.copy(move.progress, move.patience)
        move.copy_seconds = time.monotonic() - began
        move.replication.finish_copy()
