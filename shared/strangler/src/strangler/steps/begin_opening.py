"""Step 5 of a switch: everything that could still have to wait is done before the point of no return."""

from __future__ import annotations

from strangler.steps.step import Step
from strangler.steps.switching import Switch


class BeginOpening(Step[Switch]):
    """Lifts the new owner in an open transaction. It may have to wait for a vacuum, so it comes before the point of no
    return."""

    name = "begin opening"

    def start(self, move: Switch) -> None:
        """Locks the new side's tables and turns its fences, not yet committed."""
        move.new.begin_opening(target=move.target, statement_ms=move.statement_ms(), hold_events=move.hold_events)
