"""What the application asks of both databases of a move to know how they stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from strangler.domain.move import Deviation, StreamState


class Inspection(Protocol):
    """Looks at both databases of one capability. Each look may be repeated.

    None leaves anything changed but `sentinels`, which writes a marker. What is found is told in sentences for a
    person; where nothing is wrong there are none. ``completed``: the way back has ended, and no stream goes to the
    service.

    Raises:
        StackError, LostError: a server cannot be reached, or went away.
        PreflightError: what is the tool's there belongs to somebody else.
        ConfigurationError: by what looks at tables: the configuration names one that is not there.
    """

    def preflight(self, *, rerun: bool) -> list[str]:
        """Asks everything that a start can know before it changes anything; returns warnings.

        Each server is made to reach the other. With ``rerun`` an earlier start may have left rows in the service.

        Raises:
            ConfigurationError: what the configuration says of tables, sequences, references or outbox is not so.
            PreflightError: a database, a table or a role is not fit; it is named, with what to do.
        """
        ...

    def drift(self) -> list[str]:
        """What is unequal between the tables of the two sides, in anything that decides what a row can be."""
        ...

    def misnumbered(self, owner: str) -> list[str]:
        """What would go wrong with numbers if the side that is not ``owner`` took over now."""
        ...

    def deviations(self, *, completed: bool) -> list[Deviation]:
        """What is not as the sides' rows say: fences, their functions, publications, slots and subscriptions; and by
        what deletions that arrive would not be queued."""
        ...

    def stopped(self, owner: str, *, epoch: int, ended: bool) -> list[Deviation]:
        """Fences that refuse the owner's own writes: all that can be compared while there are no streams.

        Empty unless the side ``owner`` is open at ``epoch``. ``ended``: no stream comes or goes any more, so that what
        refuses a TRUNCATE is such a fence, too.
        """
        ...

    def obstacles(self) -> list[str]:
        """What has come to stand at a moved table since the start, and would be refused by one; with what to do."""
        ...

    def filters(self) -> list[str]:
        """What shows the tool, or lets a stream write, less than there is: policies, rules, missing rights."""
        ...

    def left_by_start(self, *, epoch: int) -> bool:
        """Whether the service's side is as a start of this project, at ``epoch`` or before, has left it.

        Then it is closed, and nothing streams to its tables.
        """
        ...

    def lost(self, *, completed: bool) -> list[str]:
        """The directions in which the stream cannot go on, because a part of it is gone or was given up."""
        ...

    def sentinels(self, known: Mapping[str, str], *, completed: bool) -> tuple[dict[str, str], list[str]]:
        """Asks each stream that stood still whether it has gone on where it stopped.

        ``known`` is what the last look has returned first, or empty. Returns what to give the next look, by direction,
        and a sentence for each stream that has passed something over. Such a stream is told of once.
        """
        ...

    def streams(self) -> Sequence[StreamState]:
        """Both directions as their ends report them now, those that do not exist too."""
        ...

    def dropped(self) -> bool:
        """Whether the monolith no longer has any of the tables."""
        ...

    def orphans(self) -> dict[str, int]:
        """Deletions that came to the monolith by the stream: how many are ``waiting`` for their clean-up, ``failing``
        and ``swept``. Empty where nothing counts them."""
        ...

    def seams(self) -> list[str]:
        """The monolith's columns with a foreign key into the capability, as ``table.column``; none once dropped."""
        ...
