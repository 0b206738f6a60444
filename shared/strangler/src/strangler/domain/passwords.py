"""How a side's application hashes passwords."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Passwords:
    """``writes`` is the algorithm of a new hash, with what it costs; ``reads`` are the algorithms of hashes that can be
    checked."""

    writes: str
    reads: frozenset[str]

    @property
    def algorithm(self) -> str:
        """That of a new hash."""
        return self.writes.partition(" ")[0]
