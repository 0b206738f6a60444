"""Finishes or unwinds the work of an interrupted coordinator, and fences a side that is behind."""

from __future__ import annotations

from strangler.application import identity
from strangler.application.sides import Parts
from strangler.application.tracing import traced
from strangler.domain.errors import MoveError, RefusedError
from strangler.domain.move import Move, other
from strangler.domain.phase import INTERRUPTED, NEXT, State, busy
from strangler.steps import unwinding
from strangler.steps.release_events import release
from strangler.steps.step import Boundary
from strangler.steps.switching import Switch


def recover(parts: Parts, *, boundary: Boundary = lambda _: None) -> str | None:
    """Brings the move to rest; returns what was done, or None if there was nothing to do.

    The caller holds the move's lock.

    Raises:
        RefusedError: the ledger may not act here, or a side belongs to another ledger.
    """
    move = parts.ledger.move(parts.name)
    if move is None:
        return None
    identity.require(parts, move)
    if move.state is State.SWITCHING:
        boundary("before:unwind")
        if _unwind(parts, move):
            return "unwound an interrupted switch"
        # Its coordinator has passed the point of no return after all.
        return recover(parts, boundary=boundary)
    if move.state is State.SETTLING:
        boundary("before:settle")
        with traced(parts, "recover") as span:
            span.note(epoch=move.epoch)
            return _finish(parts, move)
    if move.state in {State.MOVING, State.COMPLETED}:
        return (_reconcile(parts, move) if move.state is State.MOVING else None) or _release_events(parts, move)
    return None


def require_nobody_at_work(parts: Parts, move: Move | None) -> None:
    """Tells a switch that another command is doing from one that was interrupted; the caller holds no lock.

    Raises:
        RefusedError: another command is at work.
    """
    if move is None or move.state not in INTERRUPTED:
        return
    # The right ends with this session, and the caller refuses the interrupted move at once.
    if not parts.ledger.try_lock(parts.name):
        raise busy(parts.name)


def require_copy(parts: Parts, *, verb: str) -> Move:
    """Brings the move to rest for a ``verb`` that needs its copy, and returns it; the caller holds its lock.

    Raises:
        RefusedError: there is no copy; or as `recover`.
    """
    recover(parts)
    move = parts.ledger.move(parts.name)
    dropped = move is not None and move.state is State.COMPLETED and parts.replication.dropped()
    if move is None or move.state not in {State.MOVING, State.COMPLETED} or dropped:
        raise RefusedError(
            f"there is no copy to {verb}",
            place=parts.name,
            remedy=NEXT[move.state if move else None].format(capability=parts.name),
            id="move-state",
        )
    return move


def _unwind(parts: Parts, move: Move) -> bool:
    with traced(parts, "recover") as span, parts.tracer.span("unwind"):
        span.note(epoch=move.epoch + 2)
        return unwinding.unwind(_switch(parts, move, epoch=move.epoch, old=move.owner))


def _finish(parts: Parts, move: Move) -> str:
    switch = _switch(parts, move, epoch=move.epoch - 1, old=other(move.owner))
    with parts.tracer.span("settle"):
        unwinding.settle(switch)
    unwinding.finish(switch)
    parts.ledger.record(parts.name, "switch finished by recovery", epoch=move.epoch, verb=switch.verb)
    return "finished an interrupted switch"


def _release_events(parts: Parts, move: Move) -> str | None:
    owner = parts.sides[move.owner]
    row = owner.row()
    if row is None or not row.events_held or not release(owner, parts.opposite(move.owner), epoch=move.epoch):
        return None
    return f"released the events of the {move.owner}"


def _reconcile(parts: Parts, move: Move) -> str | None:
    """Makes the ledger's owner the only owner: a side that is behind is fenced before the owner's fence is lifted."""
    switch = _switch(parts, move, epoch=move.epoch, old=move.owner)
    behind, owner = switch.new.row(), switch.old.row()
    if behind is not None and behind.open and behind.epoch > move.epoch:
        # The highest epoch anywhere wins: here the ledger is behind, or it is a copy of another.
        raise MoveError(
            f"the {switch.new.side} is open at epoch {behind.epoch}, which this ledger ({move.epoch}) knows nothing of",
            place=parts.name,
            remedy="see whose it is: a ledger that was copied or put back from a backup must not act on it",
        )
    if behind is not None and behind.open:
        switch.new.fence(expected=behind.epoch, target=move.epoch, statement_ms=switch.statement_ms())
        switch.new.bounce(move.owner, epoch=move.epoch)
        parts.ledger.record(parts.name, f"fenced the {switch.new.side}, which was behind", epoch=move.epoch)
        return f"fenced the {switch.new.side}, which was behind"
    if owner is not None and (not owner.open or owner.epoch < move.epoch):
        unwinding.reopen(switch, target=move.epoch)
        return f"lifted the {move.owner}"
    if behind is not None and behind.bounce_to != move.owner:
        switch.new.bounce(move.owner, epoch=move.epoch)
        return f"sent what waits at the {switch.new.side} to the {move.owner}"
    return None


def _switch(parts: Parts, move: Move, *, epoch: int, old: str) -> Switch:
    return Switch(
        capability=parts.name,
        verb=move.intent or "switch",
        ledger=parts.ledger,
        old=parts.sides[old],
        new=parts.opposite(old),
        epoch=epoch,
        deadline=0.0,
    )
