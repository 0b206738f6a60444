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
        """Place and name of each thing that the tool has made and that is of no capability in ``known``."""
        ...

    def retained(self) -> list[tuple[str, str]]:
        """Place of each of the tool's slots that nobody reads or that keeps more than a gibibyte, and a sentence."""
        ...

    def sequences_behind(self, capability: str, owner: str) -> list[str]:
        """A sentence for each sequence of the side ``owner`` that has not come as far as the rows it numbers.

        Raises:
            RefusedError: a policy would hide some of these rows from the tool.
        """
        ...

    def unplaced(self) -> list[str]:
        """The monolith's tables and sequences of which the configuration says neither that they move nor that they
        stay."""
        ...

    def close(self) -> None:
        """Ends all sessions; nothing may be asked afterwards. May be called twice."""
        ...
