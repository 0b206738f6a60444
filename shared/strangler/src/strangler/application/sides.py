"""The parts of one move, put together by ``configuration``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from strangler.domain.move import other
from strangler.domain.project import MONOLITH, SERVICE, Capability, Project
from strangler.ports.ledger import Ledger
from strangler.ports.replication import Replication
from strangler.ports.side import Side


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything a verb needs to act on one capability."""

    project: Project
    capability: Capability
    ledger: Ledger
    sides: Mapping[str, Side]
    replication: Replication

    @property
    def name(self) -> str:
        """The capability's name."""
        return self.capability.name

    @property
    def monolith(self) -> Side:
        """The side that everything begins at."""
        return self.sides[MONOLITH]

    @property
    def service(self) -> Side:
        """The side that everything goes to."""
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
