"""The two ways out of an interrupted switch, the same for its own coordinator and for recovery.

Note "ledger first": an unwinding is first decided in the ledger and then carried out, so a coordinator that wakes late
finds its next compare-and-set refused. The ledger's state is never guessed from a side.
"""

from __future__ import annotations

import time
from contextlib import suppress

from strangler.domain.errors import MoveError
from strangler.domain.phase import State
from strangler.steps.switching import DRAIN_SECONDS, Switch


def unwind(move: Switch) -> bool:
    """Before the point of no return: the old owner goes on, two epochs later.

    The epoch in between stays unused: a coordinator that still acts for it is behind. False when the point has been
    passed already. Undoes all steps that have begun, and can be called again.
    """
    move.new.drop_opening()
    swapped = move.ledger.swap(
        move.capability, frm=State.SWITCHING, to=State.MOVING, epoch=move.epoch, new_epoch=move.epoch + 2
    )
    if not swapped:
        return False
    reopen(move, target=move.epoch + 2)
    return True


def reopen(move: Switch, *, target: int) -> None:
    """Opens the old owner again at ``target``."""
    move.old.reopen(target=target)
    # Requests to the other side have waited there for a decision. If that side is away, recovery tells it once it is
    # back, so its error is not raised: the error that counts is the reason why the switch failed.
    with suppress(Exception):
        move.new.bounce(move.old.side, epoch=target)
    shut_ms = None if move.shut_at is None else (time.perf_counter() - move.shut_at) * 1000
    move.ledger.record(move.capability, f"{move.verb} aborted", epoch=target, took_ms=shut_ms, tries=move.tries or None)


def settle(move: Switch) -> None:
    """After the point of no return: opens the new owner, if it is not open yet, and leads requests to it.

    Waits for a marker again before the lift: a crash of the new side may have undone rows that had arrived.

    Raises:
        MoveError: when the stream does not drain; the caller tries again.
    """
    row = move.new.row()
    if row is None or not row.open or row.epoch < move.target:
        marker, _ = move.old.mark()
        if not move.new.await_marker(marker, within=DRAIN_SECONDS):
            raise MoveError("the stream has not drained yet", place=move.capability)
        try:
            move.new.begin_opening(target=move.target, statement_ms=0, hold_events=move.hold_events)
        except MoveError:
            move.new.drop_opening()
            raise
        move.new.open()
    move.old.bounce(move.new.side, epoch=move.target)


def finish(move: Switch) -> bool:
    """The ledger is at rest again, at the new owner's epoch."""
    return move.ledger.swap(move.capability, frm=State.SETTLING, to=State.MOVING, epoch=move.target)
