"""What ``doctor`` asks of the databases beyond one move."""

from __future__ import annotations

from typing import Protocol


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

    def close(self) -> None:
        """Ends all sessions; nothing may be asked afterwards. May be called twice."""
        ...
