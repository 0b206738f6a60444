"""Step 6 of a switch: the point of no return."""

from __future__ import annotations

import time

from strangler.domain.errors import MoveError
from strangler.domain.phase import State
from strangler.domain.project import MONOLITH
from strangler.ports.side import LostError
from strangler.steps.step import Step
from strangler.steps.switching import Switch


class TakeOwnership(Step[Switch]):
    """The ledger names the new owner. In a switch to the monolith, whose database has the ledger, this is one
    transaction with the lift."""

    name = "take ownership"

    def start(self, move: Switch) -> None:
        """Compare-and-set; an unknown outcome is read again, and never taken for a failure.

        Raises:
            MoveError: when the move was unwound meanwhile.
            LostError: when the new owner's database went away meanwhile; the ledger does not name the new owner then.
        """
        if move.new.side != MONOLITH:  # there the same session finds out
            move.new.still_opening()
        try:
            move.taken = self._with_the_lift(move) if move.new.side == MONOLITH else self._alone(move)
        except LostError:
            move.taken = self._is_taken(move)
            if move.taken and move.new.side == MONOLITH:
                move.opened_at = time.perf_counter()
        if not move.taken:
            raise MoveError(
                "the switch was unwound by recovery before it was complete",
                place=move.capability,
                remedy="run the command again",
            )

    @staticmethod
    def _alone(move: Switch) -> bool:
        return move.ledger.swap(
            move.capability,
            frm=State.SWITCHING,
            to=State.SETTLING,
            epoch=move.epoch,
            new_epoch=move.target,
            owner=move.new.side,
            intent=move.verb,
        )

    @staticmethod
    def _with_the_lift(move: Switch) -> bool:
        swapped = move.new.swap_ledger(
            frm=State.SWITCHING,
            to=State.SETTLING,
            epoch=move.epoch,
            new_epoch=move.target,
            owner=move.new.side,
        )
        if swapped:
            move.new.open()
            move.opened_at = time.perf_counter()
        return swapped

    @staticmethod
    def _is_taken(move: Switch) -> bool:
        present = move.ledger.move(move.capability)
        return present is not None and present.epoch == move.target and present.owner == move.new.side
