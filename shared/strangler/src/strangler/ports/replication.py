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


@dataclass(frozen=True, slots=True)
class Patience:
    """For how many ``seconds`` a start waits for transactions of others, each time; ``say`` is told now and then whose
    they are."""

    seconds: float = 60.0
    say: Callable[[str], None] = lambda _: None


@dataclass(slots=True)
class Proof:
    """What a verify has found; ``differences`` are sentences that name table, key and columns of the first of them."""

    rows: int = 0
    differing: int = 0
    differences: list[str] = field(default_factory=list)
    repaired: int = 0


class Replication(Inspection, Protocol):
    """Both databases of one capability: the looks at them, and the acts that change them.

    The caller has the right to act on the move; only `relieve` needs no such right. Each method may be called again,
    also after its process was killed, unless its text names another method that must be called before each try.

    Raises:
        StackError, LostError, PreflightError, ConfigurationError: as in Inspection.
        MoveError: methods that change tables: others have held them for a minute; the error names these.
        RefusedError: methods that read rows: a policy would hide some of them from the tool.
    """

    def install(self) -> None:
        """Makes what the service's side needs, or brings it up to date. What the monolith's needs comes with the
        ledger.

        Raises:
            MoveError: others held what had to be changed, for too long.
        """
        ...

    def raise_fences(self, *, epoch: int, patience: Patience) -> None:
        """Begins a move at ``epoch``: first the service is closed and leads to the monolith, then the monolith is open.

        From here on no application writes the copy, and no stream writes the owner.

        Raises:
            StaleError: a side has been at ``epoch`` or beyond already, or belongs to another ledger.
            MoveError: a table did not become free; the error names the transactions that hold it.
        """
        ...

    def clear(self, *, epoch: int) -> None:
        """Ends both streams and empties the copy, so that `copy` begins anew.

        Raises:
            StaleError: the service's side is not closed at ``epoch``: another start has begun since.
            MoveError: an earlier start is still at work, or somebody still reads a stream.
        """
        ...

    def copy(self, progress: Progress, patience: Patience) -> int:
        """Copies all rows as of one moment, and keeps later changes for `stream_forward`; returns the number of rows.

        The copy may lack indexes, constraints and its disabled fence until `finish_copy`. `clear` must be called before
        each try.

        Raises:
            StaleError: another start, or a switch, has come since `clear`.
            MoveError: a row could not be copied, or a transaction of the monolith's server did not end.
        """
        ...

    def finish_copy(self) -> None:
        """Puts back what `copy`, which must be called before, has put off; all of the copy survives a crash afterwards.

        Raises:
            StaleError: another start, or a switch, has come since `clear`.
            MoveError: a constraint does not hold for the rows, or the sides' tables are no longer equal.
        """
        ...

    def stream_forward(self, *, within: float) -> None:
        """Makes the stream monolith → service, beginning at the moment of `copy`; returns when it has caught up.

        `copy` must be called before each try.

        Raises:
            MoveError: it did not catch up in ``within`` seconds.
            PreflightError: the tool's role may not make it.
        """
        ...

    def stream_reverse(self, *, within: float) -> None:
        """Makes the stream service → monolith, beginning now; returns when it has caught up.

        `clear` must be called before each try.

        Raises:
            MoveError: it did not catch up in ``within`` seconds, or a transaction of the service's server did not end.
            PreflightError: the tool's role may not make it.
        """
        ...

    def renew(self, direction: str, owner: str, progress: Progress) -> int:
        """Makes the stream of one direction anew; returns how many rows of the copy were changed.

        Before a stream from ``owner`` begins, the copy is brought to the moment at which it begins. A stream that goes
        to ``owner`` has nothing to carry.

        Raises:
            MoveError: it did not catch up, or could not be made.
        """
        ...

    def catch_up(self, frm: str, *, within: float) -> bool:
        """Waits until all that ``frm`` has committed so far is on the other side. False: not in ``within`` seconds."""
        ...

    def verify(self, owner: str, progress: Progress, *, mend: bool) -> Proof:
        """Compares every row of the copy with the side ``owner``, while applications write the owner.

        Returns what was found. With ``mend`` each row that differs is made equal to the owner's, and no stream carries
        this change. Only another verify tells whether all is equal then.

        Raises:
            MoveError: the stream did not catch up; or a row could not be mended, because it was locked or another row
                is in its way.
        """
        ...

    def set_right(self, found: Sequence[Deviation], *, owner: str, epoch: int) -> list[str]:
        """Turns right all that is mendable in ``found``, the result of the last `deviations`; returns what was done.

        The side ``owner`` is left alone unless it is open at ``epoch``. The other side is left alone unless it is
        closed and not ahead of ``epoch``. Tables that others hold for too long stay as they are until the next time.
        """
        ...

    def relieve(self, owner: str, *, epoch: int, ended: bool) -> list[str]:
        """Keeps the fences that `stopped` finds from refusing; returns what was done. Tables that others hold wait for
        the next time.

        Needs no right to act: nothing is done unless the side is open at ``epoch``.
        """
        ...

    def readdress(self) -> list[str]:
        """Brings the addresses, routes, sequences and references that the move has noted to what is configured now.

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
            MoveError: somebody still reads the stream; the tables are gone by then.
        """
        ...

    def remove(self) -> None:
        """Removes all that a move has made in both databases, and the rows of the copy.

        Raises:
            RefusedError: the service is open: its rows are not a copy, and they stay.
            MoveError: an earlier start is still at work, or somebody still reads a stream.
        """
        ...

    def close(self) -> None:
        """Ends all sessions. May be called twice; all other methods may be called again afterwards."""
        ...
