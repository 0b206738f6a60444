"""Names of all that a move creates in a database, so that every part finds and removes the same things."""

from __future__ import annotations

import hashlib
import re

FORWARD = "forward"
REVERSE = "reverse"
FENCE = "strangler_fence"
REPLICA_FENCE = "strangler_replica_fence"
REPLICA_TRUNCATE = "strangler_replica_truncate"
TRUNCATE = "strangler_truncate"
ORPHAN = "strangler_orphan"
TRIGGERS = (FENCE, REPLICA_FENCE, REPLICA_TRUNCATE, TRUNCATE, ORPHAN)
QUEUEING = "queue_orphan"
# The functions that the triggers call. A trigger is known by its function, even if somebody has renamed it.
REFUSING = ("refuse", "refuse_truncate")
FENCING = (*REFUSING, QUEUEING)
LEDGER_CHANNEL = "strangler_ledger"


LONGEST_BYTES = 63  # bytes of a name in PostgreSQL
_SHORT = 16
_SUFFIX = r"[a-z]+(_[0-9]+)?"


def stream(database: str, capability: str, direction: str) -> str:
    """Publication, slot and subscription of one direction bear the same name.

    ``database`` is the sender's. Slots belong to the server and not to a database: without the database in the name,
    two environments on one server would have the same slot.
    """
    return f"{_prefix(database, capability)}_{direction}"


def stream_before(capability: str, direction: str) -> str:
    """The name that they had before names had a database in them; a move that began then keeps it."""
    return f"strangler_{capability}_{direction}"


def origin(database: str, capability: str, purpose: str) -> str:
    """The replication origin of a session of the tool in ``database``; origins belong to the server, too.

    PostgreSQL lets only one session hold it at a time.
    """
    return f"{_prefix(database, capability)}_{purpose}"


def belongs(name: str, database: str, capability: str) -> bool:
    """Whether a slot, publication, subscription or origin is this capability's, and not that of one with a longer
    name."""
    prefixes = (_prefix(database, capability), f"strangler_{capability}")
    return any(re.fullmatch(rf"{re.escape(prefix)}_{_SUFFIX}", name) is not None for prefix in prefixes)


def of_database(name: str, database: str) -> bool:
    """Whether a name has been made in this database, for any capability; older names do not tell their database."""
    return name.startswith(f"strangler_{_environment(database)}_")


def _prefix(database: str, capability: str) -> str:
    environment = _environment(database)
    room = LONGEST_BYTES - len(f"strangler_{environment}__{FORWARD}")
    return f"strangler_{environment}_{capability if len(capability) <= room else _cut(capability, room)}"


def _environment(database: str) -> str:
    # A name that is left as it is has no underscore, so that no two pairs of database and capability make one name.
    if re.fullmatch(rf"[a-z0-9]{{1,{_SHORT}}}", database):
        return database
    return _cut(database, _SHORT + 7)


def _cut(text: str, room: int) -> str:
    plain = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
    return f"{plain[: room - 7]}_{hashlib.sha256(text.encode()).hexdigest()[:6]}"


def direction_from(side: str) -> str:
    """The stream that carries what ``side`` writes."""
    return FORWARD if side == "monolith" else REVERSE
