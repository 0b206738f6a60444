"""Step 3 of a switch: everything the old owner wrote has arrived."""

from __future__ import annotations

from strangler.domain.errors import MoveError
from strangler.steps.step import Step
from strangler.steps.switching import DRAIN_SECONDS, Switch


class DrainStream(Step[Switch]):
    """The fence has left a marker behind it; when the marker is on the other side, so is all before it."""

    name = "drain stream"

    def start(self, move: Switch) -> None:
        """Waits for the marker.

        Raises:
            MoveError: when it does not arrive in time.
        """
        assert move.marker is not None
        if not move.new.await_marker(move.marker, within=DRAIN_SECONDS):
            raise MoveError(
                f"the stream did not drain within {DRAIN_SECONDS:g} s",
                place=move.capability,
                remedy="see `strangler status` for its lag and errors; the owner goes on as before",
                id="not-drained",
            )
