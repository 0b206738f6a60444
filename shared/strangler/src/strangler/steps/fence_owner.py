"""Step 2 of a switch: the old owner stops writing."""

from __future__ import annotations

import random
import time

from strangler.domain.errors import MoveError
from strangler.ports.side import BlockedError
from strangler.steps.step import Step
from strangler.steps.switching import PAUSE_SECONDS, Switch


class FenceOwner(Step[Switch]):
    """Locks all tables, turns both fences in one commit, and leaves a marker behind it."""

    name = "fence owner"

    def start(self, move: Switch) -> None:
        """Tries until the budget ends.

        While a try lasts, new writes wait at the door, and all others queue behind its lock, for at most one statement
        timeout. Between two tries the writes may go on for as long.

        Raises:
            MoveError: naming who holds the tables.
        """
        statement_ms = move.statement_ms()
        while True:
            move.tries += 1
            # Before the door is shut: what begins a thread would hold everybody up on a busy machine.
            move.new.hurry(PAUSE_SECONDS + statement_ms / 1000)
            move.shut_at = move.shut_at or time.perf_counter()
            try:
                move.marker, move.positions = move.old.fence(
                    expected=move.epoch, target=move.target, statement_ms=statement_ms
                )
            except BlockedError as error:
                move.new.hurry(None)
                blockers = move.old.blockers()
                if move.left() <= statement_ms / 1000:
                    raise MoveError(
                        "the tables did not become free in time"
                        + "".join(f"\n    held by {blocker}" for blocker in blockers),
                        place=move.capability,
                        remedy="end that transaction, or give more time with --timeout; nothing has changed",
                        id="table-held",
                    ) from error
                time.sleep(random.uniform(0.5, 1.0) * statement_ms / 1000)  # noqa: S311  spread, not secrecy
            else:
                return
