"""Step 1 of a switch: the intent, before anything is done."""

from __future__ import annotations

from strangler.domain.errors import MoveError
from strangler.domain.phase import State
from strangler.steps.step import Step
from strangler.steps.switching import Switch


class Announce(Step[Switch]):
    """The ledger goes from ``moving`` to ``switching``: from here on recovery knows what to unwind."""

    name = "announce"

    def start(self, move: Switch) -> None:
        """Compare-and-set, so that a coordinator that slept finds itself refused."""
        swapped = move.ledger.swap(
            move.capability, frm=State.MOVING, to=State.SWITCHING, epoch=move.epoch, intent=move.verb
        )
        if not swapped:
            raise MoveError(
                "the move has changed since it was read", place=move.capability, remedy="run the command again"
            )
        # From here on a request to the next owner waits there for the decision, and is not sent back and forth.
        move.new.bounce(None, epoch=move.epoch)
