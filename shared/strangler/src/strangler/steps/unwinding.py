"""The two ways out of an interrupted switch, the same for its own coordinator and for recovery.

Note "ledger first": an unwinding is decided in the ledger and then carried out, so a coordinator that wakes late finds
its next compare-and-set refused. What the ledger says is never guessed from a side.
"""

from __future__ import annotations

import time
from contextlib import suppress

from strangler.domain.errors import MoveError
from strangler.domain.phase import State
from strangler.steps.switching import DRAIN_SECONDS, Switch


def unwind(move: Switch) -> bool:
    """Before the point of no return: the old owner goes on, two epochs later.

    The epoch between stays unused: whoever still acts for it is behind. False when the point had been passed. Undoes
    whatever steps have been begun, and can be called again.
    """
    move.new.let_go()
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
    # Who comes to the other side waited there for a decision. Where it is away, recovery tells it once it is back; what
    # is raised is why the switch failed.
    with suppress(Exception):
        move.new.bounce(move.old.side, epoch=target)
    shut_ms = None if move.shut_at is None else (time.perf_counter() - move.shut_at) * 1000
    move.ledger.record(move.capability, f"{move.verb} aborted", epoch=target, took_ms=shut_ms, tries=move.tries or None)


def settle(move: Switch) -> None:
    """After the point of no return: opens the new owner, if that is still to be done, and leads requests to it.

    Waits for a marker again before the lift: a crash of the new side may have undone what had arrived.

    Raises:
        MoveError: when the stream does not drain; to be tried again.
    """
    row = move.new.row()
    if row is None or not row.open or row.epoch < move.target:
        marker, _ = move.old.mark()
        if not move.new.await_marker(marker, within=DRAIN_SECONDS):
            raise MoveError("the stream has not drained yet", place=move.capability)
        try:
            move.new.hold(target=move.target, statement_ms=0, hold_events=move.hold_events)
        except MoveError:
            move.new.let_go()
            raise
        move.new.open()
    move.old.bounce(move.new.side, epoch=move.target)


def finish(move: Switch) -> bool:
    """The ledger is at rest again, at the new owner's epoch."""
    return move.ledger.swap(move.capability, frm=State.SETTLING, to=State.MOVING, epoch=move.target)
