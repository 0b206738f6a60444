"""The states that a move can be in, and the one table of which may follow which."""

from __future__ import annotations

from enum import StrEnum

from strangler.domain.errors import RefusedError


class State(StrEnum):
    """What the ledger says of a move; everything else about it is observed."""

    STARTING = "starting"  # the copy is being made; a rerun begins anew
    MOVING = "moving"  # both streams run, one side owns
    SWITCHING = "switching"  # the owner is being fenced; can still unwind
    SETTLING = "settling"  # the new owner is in the ledger; goes forward only
    COMPLETED = "completed"  # the way back has ended
    CANCELLING = "cancelling"  # everything is being removed


FOLLOWS: dict[State | None, frozenset[State]] = {
    None: frozenset({State.STARTING}),
    State.STARTING: frozenset({State.STARTING, State.MOVING, State.CANCELLING}),
    State.MOVING: frozenset({State.SWITCHING, State.COMPLETED, State.CANCELLING}),
    State.SWITCHING: frozenset({State.MOVING, State.SETTLING}),
    State.SETTLING: frozenset({State.MOVING}),
    State.COMPLETED: frozenset({State.COMPLETED}),
    State.CANCELLING: frozenset({State.CANCELLING}),
}

RETIRED = "retired"  # the fact that the ledger keeps of each move once the monolith is stopped

INTERRUPTED = frozenset({State.SWITCHING, State.SETTLING})


def require(capability: str, present: State | None, wanted: State, *, verb: str) -> None:
    """Refuses a transition that FOLLOWS does not have.

    Raises:
        RefusedError: naming the present state and what can be done from it.
    """
    if wanted in FOLLOWS[present]:
        return
    raise RefusedError(
        f"cannot {verb}: the move {TOLD[present]}",
        place=capability,
        remedy=NEXT[present].format(capability=capability),
        id="move-state",
    )


def busy(capability: str) -> RefusedError:
    """Somebody else has the right to act on the move."""
    return RefusedError(
        "another command is at work on this move",
        place=capability,
        remedy=f"wait for it; `strangler status {capability}` shows what it does",
        id="another-command",
    )


TOLD: dict[State | None, str] = {
    None: "has not been started",
    State.STARTING: "is being started, or its start was interrupted",
    State.MOVING: "has been started already, and both streams run",
    State.SWITCHING: "was interrupted in a switch",
    State.SETTLING: "was interrupted in a switch, when the new owner was in the ledger already",
    State.COMPLETED: "is completed",
    State.CANCELLING: "is being cancelled",
}
NEXT: dict[State | None, str] = {
    None: "run `strangler start {capability}`",
    State.STARTING: "run `strangler start {capability}` again: it begins anew",
    State.MOVING: "`strangler status {capability}` shows what can be done now",
    State.SWITCHING: "wait: an interrupted switch is unwound by `strangler serve` within seconds",
    State.SETTLING: "wait: an interrupted switch is finished by `strangler serve` within seconds",
    State.COMPLETED: "the way back has ended; nothing more moves",
    State.CANCELLING: "run `strangler cancel {capability}` again to finish it",
}
