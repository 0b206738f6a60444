"""Step 4 of a switch: the new owner's sequences are set durably."""

from __future__ import annotations

from strangler.steps.step import Step
from strangler.steps.switching import Switch


class PrepareOwner(Step[Switch]):
    """One synchronous commit; it flushes the stream's asynchronous ones too.

    Without it a crash of the new owner could take applied rows with it, the marker among them.
    """

    name = "prepare owner"

    def start(self, move: Switch) -> None:
        """Moves sequences past the numbers that either side has given out."""
        move.new.prepare(target=move.target, positions=move.positions)
