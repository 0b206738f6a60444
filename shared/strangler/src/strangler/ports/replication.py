"""What the application has done to the streams and copies between the two databases of a move."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from strangler.domain.move import Deviation
from strangler.ports.inspection import Inspection

Progress = Callable[[int, int], None]
"""Called with rows done so far and rows expected (0: unknown)."""

SHOW_ALL = (
    "take policies and rules off these tables for the time of the move (where the tool's role is a member of the "
    "owner, ALTER TABLE ... NO FORCE ROW LEVEL SECURITY is enough, on both sides), give the rights back, or leave the "
    "tables out"
)
"""What to do where something hides rows from the tool."""


@dataclass(slots=True)
class Proof:
    """What a verify has found; ``differences`` are sentences that name table, key and columns of the first of them."""

    rows: int = 0
    differing: int = 0
    differences: list[str] = field(default_factory=list)
    repaired: int = 0


class Replication(Inspection, Protocol):
    """Both databases of one capability: what is looked at, and what is done about it.

    The caller has the right to act on the move; only `relieve` needs none. Each method may be called again, also after
    its process was killed, unless it says what has to come before.

    Raises:
        StackError, LostError, PreflightError, ConfigurationError: as the looks.
        MoveError: by what changes tables: others have held them for a minute; they are named.
        RefusedError: by what reads rows: a policy would hide some of them from the tool.
    """

    def install(self) -> None:
        """Makes what the service's side needs, or brings it up to date; the monolith's comes with the ledger.

        Raises:
            MoveError: others kept what had to be changed, for too long.
        """
        ...

    def raise_fences(self, *, epoch: int) -> None:
        """Begins a move at ``epoch``: the service is closed and leads to the monolith, then the monolith is open.

        From here on no application writes the copy, and no stream writes the owner.

        Raises:
            StaleError: a side has been at ``epoch`` or beyond already, or is another ledger's.
        """
        ...

    def clear(self, *, epoch: int) -> None:
        """Ends both streams and empties the copy, so that `copy` begins anew.

        Raises:
            StaleError: the service's side is not closed at ``epoch``: another start has begun since.
            MoveError: an earlier start is still at work, or somebody still reads a stream.
        """
        ...

    def copy(self, progress: Progress) -> int:
        """Copies every row of one moment, and keeps what is changed after it for `stream_forward`; returns how many.

        The copy may lack indexes and constraints until `finish_copy`. Before each try `clear` has to come.

        Raises:
            MoveError: a row could not be copied, or a transaction of the monolith's server did not end.
        """
        ...

    def finish_copy(self) -> None:
        """Puts indexes and constraints back; all of the copy survives a crash afterwards.

        Raises:
            MoveError: a constraint does not hold for the rows, or the sides' tables are no longer equal.
        """
        ...

    def stream_forward(self, *, within: float) -> None:
        """Makes the stream monolith → service, from the moment of `copy` on; returns when it has caught up.

        Before each try `copy` has to come.

        Raises:
            MoveError: it did not catch up in ``within`` seconds.
            PreflightError: the tool's role may not make it.
        """
        ...

    def stream_reverse(self, *, within: float) -> None:
        """Makes the stream service → monolith, from now on; returns when it has caught up.

        Before each try `clear` has to come.

        Raises:
            MoveError: it did not catch up in ``within`` seconds, or a transaction of the service's server did not end.
            PreflightError: the tool's role may not make it.
        """
        ...

    def renew(self, direction: str, owner: str, progress: Progress) -> int:
        """Makes the stream of one direction anew; returns how many rows of the copy were changed.

        A stream that comes from ``owner`` brings the copy first to where it begins. One that goes there has nothing to
        carry.

        Raises:
            MoveError: it did not catch up, or could not be made.
        """
        ...

    def catch_up(self, frm: str, *, within: float) -> bool:
        """Waits until all that ``frm`` has committed so far is on the other side. False: not in ``within`` seconds."""
        ...

    def verify(self, owner: str, progress: Progress, *, mend: bool) -> Proof:
        """Compares every row of the copy with the side ``owner``, while the owner is written.

        Returns what was found. With ``mend`` each row that differs becomes what the owner's is, and does not travel;
        whether all is equal then only another verify tells.

        Raises:
            MoveError: the stream did not catch up; or a row could not be mended, as it was locked or another is in its
                way.
        """
        ...

    def set_right(self, found: Sequence[Deviation], *, owner: str, epoch: int) -> list[str]:
        """Turns right what is mendable of ``found``, the last `deviations`; returns what was done.

        The side ``owner`` is left alone unless it is open at ``epoch``, the other one unless it is closed and not ahead
        of it. What others hold for too long stays as it is, for the next time.
        """
        ...

    def relieve(self, owner: str, *, epoch: int, ended: bool) -> list[str]:
        """Has what `stopped` finds refuse no more; returns what was done. What others hold stays for the next time.

        Needs no right to act: nothing is done unless the side is open at ``epoch``.
        """
        ...

    def readdress(self) -> list[str]:
        """Brings addresses, routes, sequences and references that the move has written down to what is configured now.

        Returns what was changed.

        Raises:
            PreflightError: a server cannot reach the other at its present address; the stream keeps the one it has.
        """
        ...

    def end_forward(self) -> None:
        """Ends the stream monolith → service.

        Raises:
            MoveError: somebody still reads it.
        """
        ...

    def end_reverse(self) -> None:
        """Ends the stream service → monolith. The monolith's tables stay as they are, and the service may TRUNCATE.

        Raises:
            MoveError: somebody still reads it.
        """
        ...

    def drop_old(self) -> None:
        """Drops the monolith's tables together with the subscription that fills them, then the rest of that stream.

        Raises:
            RefusedError: something there still needs one of them, or the monolith is not closed; nothing was dropped.
            MoveError: somebody still reads the stream, whose tables are gone.
        """
        ...

    def remove(self) -> None:
        """Takes away all that a move has made in both databases, and the rows of the copy.

        Raises:
            RefusedError: the service is open: its rows are no copy, and stay.
            MoveError: an earlier start is still at work, or somebody still reads a stream.
        """
        ...

    def close(self) -> None:
        """Ends all sessions. May be called twice, and the rest again afterwards."""
        ...
