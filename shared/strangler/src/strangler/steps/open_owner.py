"""Step 7 of a switch: the new owner writes."""

from __future__ import annotations

import time

from strangler.steps.step import Step
from strangler.steps.switching import Switch


class OpenOwner(Step[Switch]):
    """The commit that lifts the new owner's fence."""

    name = "open owner"

    def start(self, move: Switch) -> None:
        """Commits the opening; a lost session leaves the rest to recovery, which goes forward only."""
        move.new.hurry(None)
        if move.opened_at is None:
            move.new.open()
            move.opened_at = time.perf_counter()
