"""The parts of one move, put together by ``configuration``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from strangler.domain.errors import MoveError
from strangler.domain.move import Move, other
from strangler.domain.phase import State
from strangler.domain.project import MONOLITH, SERVICE, Capability, Project
from strangler.ports.ledger import Ledger
from strangler.ports.replication import Replication
from strangler.ports.side import Side
from strangler.ports.tracer import UNTRACED, Tracer


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything a verb needs to act on one capability."""

    project: Project
    capability: Capability
    ledger: Ledger
    sides: Mapping[str, Side]
    replication: Replication
    tracer: Tracer = UNTRACED

    @property
    def name(self) -> str:
        """The capability's name."""
        return self.capability.name

    @property
    def monolith(self) -> Side:
        """The side at which everything begins."""
        return self.sides[MONOLITH]

    @property
    def service(self) -> Side:
        """The side to which everything goes."""
        return self.sides[SERVICE]

    def opposite(self, side: str) -> Side:
        """The side that is not ``side``."""
        return self.sides[other(side)]

    def close(self) -> None:
        """Ends every session."""
        self.replication.close()
        for side in self.sides.values():
            side.close()
        self.ledger.close()


def swap(parts: Parts, move: Move, *, to: State) -> None:
    """Brings the ledger to its next state, from a move that was read before.

    Raises:
        MoveError: when the move has changed since.
    """
    if not parts.ledger.swap(parts.name, frm=move.state, to=to, epoch=move.epoch):
        raise MoveError("the move has changed since it was read", place=parts.name, remedy="run the command again")
