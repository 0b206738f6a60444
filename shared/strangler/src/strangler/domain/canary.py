"""A canary: a share of a capability's reads goes to the copy while the monolith still owns it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from strangler.domain.move import Move
from strangler.domain.phase import State
from strangler.domain.project import MONOLITH

FACT = "canary"  # the ledger keeps it among the facts of a move
# A gateway's agent reports the turn that is live under the capability's name with this behind it. No capability has it.
TURN = "~"


@dataclass(frozen=True, slots=True)
class Canary:
    """``weight`` percent of the reads go to the copy. ``on``: the owner's answers bear positions, and heartbeats go to
    the copy. ``turn`` counts the changes, of one epoch after another; it never falls in one move."""

    weight: int = 0
    on: bool = False
    turn: int = 0

    def fact(self, epoch: int) -> dict[str, int | bool]:
        """As the ledger keeps it. It counts for this epoch alone: a change of the owner ends a canary."""
        return {"weight": self.weight, "on": self.on, "turn": self.turn, "epoch": epoch}


def of(move: Move | None) -> Canary:
    """The canary that is live, or that should be. It goes on in the pause of a switch."""
    told: Mapping[str, Any] = (move.facts.get(FACT) or {}) if move is not None else {}
    turn = int(told.get("turn", 0))
    if move is None or told.get("epoch") != move.epoch or move.owner != MONOLITH:
        return Canary(turn=turn)
    if move.state not in {State.MOVING, State.SWITCHING}:
        return Canary(turn=turn)
    return Canary(int(told["weight"]), bool(told["on"]), turn)
