"""Places in the log of the owner's database, by which a copy tells how far it has come."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from uuid import UUID

_WHOLE = (1 << 24) - 1
_VERSION, _VARIANT = 8, 0b10


@dataclass(frozen=True, slots=True)
class Position:
    """``lsn`` bytes from the beginning of the log, on one ``timeline``, in one ``epoch``. The last two are kept to
    their last 24 bits."""

    epoch: int
    timeline: int
    lsn: int

    def covers(self, other: Position) -> bool:
        """Whether everything before ``other`` is before this. Places of different epochs or timelines cannot be
        compared."""
        same = (self.epoch ^ other.epoch) & _WHOLE == 0 and (self.timeline ^ other.timeline) & _WHOLE == 0
        return same and self.lsn >= other.lsn


def as_id(position: Position) -> UUID:
    """The id of a heartbeat: a UUID of version 8, whose free bits are the maker's: the log's position in the first 64,
    then timeline and epoch, and ten random ones."""
    rest = (position.timeline & _WHOLE) << 34 | (position.epoch & _WHOLE) << 10 | secrets.randbits(10)
    high = position.lsn >> 16 << 16 | _VERSION << 12 | position.lsn >> 4 & 0xFFF
    return UUID(int=high << 64 | _VARIANT << 62 | (position.lsn & 0xF) << 58 | rest)


def read_id(id: UUID) -> Position:
    """What `as_id` has written."""
    high, low = id.int >> 64, id.int & ((1 << 62) - 1)
    lsn = high >> 16 << 16 | (high & 0xFFF) << 4 | low >> 58
    return Position(epoch=low >> 10 & _WHOLE, timeline=low >> 34 & _WHOLE, lsn=lsn)
