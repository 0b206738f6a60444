"""Names of what a move creates in a database, so that every part finds and removes the same things."""

from __future__ import annotations

import re

FORWARD = "forward"
REVERSE = "reverse"
FENCE = "strangler_fence"
REPLICA_FENCE = "strangler_replica_fence"
REPLICA_TRUNCATE = "strangler_replica_truncate"
TRUNCATE = "strangler_truncate"
ORPHAN = "strangler_orphan"
TRIGGERS = (FENCE, REPLICA_FENCE, REPLICA_TRUNCATE, TRUNCATE, ORPHAN)
LEDGER_CHANNEL = "strangler_ledger"


def stream(capability: str, direction: str) -> str:
    """Publication, slot and subscription of one direction bear the same name."""
    return f"strangler_{capability}_{direction}"


def origin(capability: str, purpose: str) -> str:
    """The replication origin of a session of the tool; PostgreSQL lets one session hold it at a time."""
    return f"strangler_{capability}_{purpose}"


def belongs(name: str, capability: str) -> bool:
    """Whether a slot, publication, subscription or origin is this capability's, and not one's with a longer name."""
    return re.fullmatch(rf"strangler_{re.escape(capability)}_[a-z]+(_[0-9]+)?", name) is not None


def direction_from(side: str) -> str:
    """The stream that carries what ``side`` writes."""
    return FORWARD if side == "monolith" else REVERSE
