"""Step 5 of a switch: everything that could still wait has been waited for."""

from __future__ import annotations

from strangler.steps.step import Step
from strangler.steps.switching import Switch


class HoldOwner(Step[Switch]):
    """The lift of the new owner in an open transaction: behind a vacuum it waits, so it comes before the point of no
    return."""

    name = "hold owner"

    def start(self, move: Switch) -> None:
        """Locks the new side's tables and turns its fences, not yet committed."""
        move.new.hold(target=move.target, statement_ms=move.statement_ms(), hold_events=move.hold_events)
