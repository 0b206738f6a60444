"""Step 8a of a switch: the requests held at the old owner go to the new one."""

from __future__ import annotations

from strangler.steps.step import Step
from strangler.steps.switching import Switch


class ReleaseRequests(Step[Switch]):
    """The old side's row says where they go; the gateway needs to know nothing for this."""

    name = "release requests"

    def start(self, move: Switch) -> None:
        """Names the new owner on the old side."""
        move.old.bounce(move.new.side, epoch=move.target)
