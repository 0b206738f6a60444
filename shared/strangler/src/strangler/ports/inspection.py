"""What the application asks of both databases of a move, to know their state."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from strangler.domain.findings import Estimate, Finding, Looked
from strangler.domain.move import Deviation, StreamState
from strangler.domain.passwords import Passwords


class Inspection(Protocol):
    """Looks at both databases of one capability. Each look may be repeated.

    No look changes anything, except `sentinels`, which writes a marker. Findings are told in sentences for a person;
    there are none where nothing is wrong. ``completed``: the way back has ended, and no stream goes to the service.

    Raises:
        StackError, LostError: a server cannot be reached, or went away.
        PreflightError: the tool's schema there, or something in it, belongs to somebody else.
        ConfigurationError: raised by looks at tables: the configuration names one that is not there.
    """

    def preflight(self, *, begun: bool, rerun: bool, tell: Callable[[str], None] = lambda _: None) -> Looked:
        """Asks everything that can be known before something is changed, and keeps all that it finds.

        A server that cannot be reached, and whatever else an error names, is a finding. What could not be looked at
        because of it is named. Each server is made to reach the other. With ``begun`` the streams run, and what only a
        start needs is not asked; with ``rerun`` an earlier start may have left rows in the service. ``tell`` is called
        with a few words before each look.
        """
        ...

    def estimate(self) -> Estimate:
        """What a first copy and a verify would cost: a few rows of the largest table are copied to a temporary table.

        Raises:
            PreflightError: the databases refuse that.
        """
        ...

    def outward(self) -> list[Finding]:
        """What the capability's tables point to that does not come along, or means something else in the service."""
        ...

    def drift(self) -> list[str]:
        """Differences between the tables of the two sides that decide which rows a table can hold."""
        ...

    def misnumbered(self, owner: str) -> list[str]:
        """What would go wrong with the sequences if the side that is not ``owner`` took over now."""
        ...

    def deviations(self, *, completed: bool) -> list[Deviation]:
        """What differs from the sides' rows: fences, their functions, publications, slots and subscriptions, and
        whatever would keep arriving deletions from being queued."""
        ...

    def stopped(self, owner: str, *, epoch: int, ended: bool) -> list[Deviation]:
        """Fences that refuse the owner's own writes: nothing else can be compared while there are no streams.

        Empty unless the side ``owner`` is open at ``epoch``. ``ended``: no stream comes or goes any more, so a fence
        that refuses TRUNCATE counts, too.
        """
        ...

    def obstacles(self) -> list[str]:
        """Things that were added to a moved table since the start, and that a start would refuse; with what to do."""
        ...

    def filters(self) -> list[str]:
        """What hides rows from the tool, or keeps a stream from writing them: policies, rules, missing rights."""
        ...

    def left_by_start(self, *, epoch: int) -> bool:
        """Whether a start of this project, at ``epoch`` or before, has left the service's side as it is now.

        Then it is closed, and nothing streams to its tables.
        """
        ...

    def lost(self, *, completed: bool) -> list[str]:
        """The directions in which the stream cannot go on, because a part of it is gone or was given up."""
        ...

    def sentinels(self, known: Mapping[str, str], *, completed: bool) -> tuple[dict[str, str], list[str]]:
        """Asks each stream that stood still whether it has gone on where it stopped.

        ``known`` is the first value that the last look returned, or empty. Returns the value for the next look, by
        direction, and one sentence per stream that has passed something over. Such a stream is reported once.
        """
        ...

    def streams(self) -> Sequence[StreamState]:
        """Both directions as their ends report them now; also a direction whose stream does not exist."""
        ...

    def dropped(self) -> bool:
        """Whether the monolith no longer has any of the tables."""
        ...

    def orphans(self) -> dict[str, int]:
        """Deletions that came to the monolith by the stream: how many are ``waiting`` for their clean-up, ``failing``
        and ``swept``. Empty if nothing counts them."""
        ...

    def cascades(self) -> list[tuple[str, str]]:
        """The foreign keys of moved tables to tables that stay and of which rows may be deleted: ``table.column`` and
        the parent; none once the monolith's tables are dropped."""
        ...

    def deaf(self, capability: str) -> list[str]:
        """Why the applications of the two sides of this or another ``capability`` whose move has begun cannot send such
        a deletion to its owner, and do the owner's part; empty where they can."""
        ...

    def mute(self) -> list[str]:
        """Why the applications of the two sides cannot tell each other, by what a client brings, how new an answer
        has to be; empty where they can."""
        ...

    def passwords(self) -> dict[str, Passwords]:
        """By side, how its application hashes passwords; only where the capability has the accounts and the
        application tells of it."""
        ...

    def seams(self) -> list[str]:
        """The monolith's columns with a foreign key into the capability, as ``table.column``; none once its tables are
        dropped."""
        ...
