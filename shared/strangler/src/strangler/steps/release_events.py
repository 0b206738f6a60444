"""Step 9 of a switch: the new owner's events follow the old owner's."""

from __future__ import annotations

import time

from strangler.ports.side import BlockedError, LostError, Side
from strangler.steps.step import Step
from strangler.steps.switching import Switch

POLL_SECONDS = 0.02


def release(owner: Side, former: Side, *, epoch: int) -> bool:
    """Lets the owner's events go once the former owner's outbox has no event of the capability left.

    Only events wait for this; the former owner's server may be away for any time. False while events are still held.

    Raises:
        LostError: when the owner's server is away.
    """
    row = owner.row()
    if row is None or not row.events_held:
        return True
    try:
        if former.backlog():
            return False
    except (LostError, BlockedError):
        return False
    return owner.release_events(epoch=epoch)


class ReleaseEvents(Step[Switch]):
    """Waits for the old owner's relay, which goes on until its outbox is empty; writes do not wait."""

    name = "release events"

    def start(self, move: Switch) -> None:
        """Returns when the events go, or when the command's time is over: then recovery waits for them."""
        while True:
            move.events_held = not self._released(move)
            if not move.events_held or move.left() <= 0:
                return
            time.sleep(POLL_SECONDS)

    @staticmethod
    def _released(move: Switch) -> bool:
        try:
            return release(move.new, move.old, epoch=move.target)
        except LostError:
            return False
