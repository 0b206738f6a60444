"""What ``doctor`` asks of the databases beyond one move."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Stray:
    """Requests of one method and route, which wrote in ``place`` what the other side owned there."""

    place: str
    method: str
    route: str
    times: int
    seen_at: datetime


class Examination(Protocol):
    """Looks into every database of the project, and changes nothing. A place is a database by its name in the
    configuration.

    Raises:
        LostError: by every method but `close`: a server went away.
    """

    def leavings(self, known: set[str]) -> list[tuple[str, str]]:
        """Place and name of each thing that the tool has made and that belongs to no capability in ``known``."""
        ...

    def retained(self) -> list[tuple[str, str]]:
        """Place of each of the tool's slots that has no reader or that keeps more than a gibibyte, and a sentence."""
        ...

    def sequences_behind(self, capability: str, owner: str) -> list[tuple[str, str]]:
        """Each sequence of the side ``owner`` that is behind the rows that it numbers, and what to do about it.

        Raises:
            RefusedError: a policy would hide some of these rows from the tool.
        """
        ...

    def unplaced(self) -> list[str]:
        """The monolith's tables and sequences that the configuration names neither among those that move nor among
        those that stay."""
        ...

    def strays(self, capability: str) -> list[Stray]:
        """The requests that were noted because they wrote the capability, from a route that is not its own, where the
        other side owned it; the last first, and none that is older than a week."""
        ...

    def close(self) -> None:
        """Ends all sessions; nothing may be asked afterwards. May be called twice."""
        ...
