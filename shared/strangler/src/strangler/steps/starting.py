"""What the steps of a start share."""

from __future__ import annotations

from dataclasses import dataclass

from strangler.ports.ledger import Ledger
from strangler.ports.replication import Patience, Progress, Replication

CATCH_UP_SECONDS = 300.0


@dataclass(slots=True)
class Start:
    """One first copy; ``copy_seconds`` is how long the copying of rows took."""

    capability: str
    ledger: Ledger
    replication: Replication
    epoch: int
    progress: Progress
    patience: Patience
    rows: int = 0
    copy_seconds: float = 0.0
