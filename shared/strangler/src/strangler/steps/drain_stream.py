"""Step 3 of a switch: everything the old owner wrote has arrived."""

from __future__ import annotations

from strangler.domain.errors import MoveError
from strangler.steps.step import Step
from strangler.steps.switching import DRAIN_SECONDS, Switch


class DrainStream(Step[Switch]):
    """Uses a marker that is written after the fence has committed; when it is on the other side, so is all before
    it."""

    name = "drain stream"

    def start(self, move: Switch) -> None:
        """Writes the marker and waits for it.

        Raises:
            MoveError: when it does not arrive in time.
        """
        move.marker, move.positions = move.old.mark()
        if not move.new.await_marker(move.marker, within=DRAIN_SECONDS):
            raise MoveError(
                f"the stream did not drain within {DRAIN_SECONDS:g} s",
                place=move.capability,
                remedy="see `strangler status` for its lag and errors; the owner goes on as before",
                id="not-drained",
            )
