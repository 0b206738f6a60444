"""What the application asks of one side's database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol
from uuid import UUID

from strangler.domain.errors import MoveError
from strangler.domain.move import SideRow
from strangler.domain.phase import State
from strangler.domain.position import Position


class StaleError(MoveError):
    """A compare-and-set found another epoch: somebody else has acted since."""

    id = "overtaken"


class BlockedError(MoveError):
    """The tables were not free within one attempt."""

    id = "table-held"


class LostError(MoveError):
    """The server went away; what became of the last statement is not known."""

    id = "server-lost"


class Blocker(Protocol):
    """A transaction that a fence has to wait for. Its ``str`` says whose it is, for the person who has to end it."""

    @property
    def seconds(self) -> float:
        """For how many seconds it has been open, or prepared; 0 where the server does not tell."""
        ...


class Side(Protocol):
    """One capability in one database, spoken to in one session.

    The first call that needs the session opens it, also after it was lost. A method has committed its changes when it
    returns, except between `begin_opening` and `open`. If a method raises StaleError or BlockedError,
    nothing has changed.

    As long as `row` is None there is no side here: then only `has_outbox` and `backlog` may be asked.

    Raises:
        LostError: every method but `close`, `hurry` and `drop_opening`: the server cannot be reached, or went away.
        PreflightError: the same methods, when they open the session: the tool's schema there, or something in it,
            belongs to somebody else.
    """

    side: str
    """Which of the two it is: ``monolith`` or ``service``."""

    @property
    def has_outbox(self) -> bool:
        """Whether the applications of this database leave their events in an outbox; asks no server."""
        ...

    def close(self) -> None:
        """Ends the session. An open transaction is rolled back. May be called twice, and the side be used again."""
        ...

    def hurry(self, seconds: float | None) -> None:
        """Ends the present session if it is still open after ``seconds``, whatever it waits for. None takes that back.

        Only the last `hurry` counts. A method that is under way when the session ends raises LostError.
        """
        ...

    def row(self) -> SideRow | None:
        """What the database says of itself. None: no move has begun here, or the end of the move has removed
        everything."""
        ...

    def adopt(self, ledger: str) -> None:
        """Names the ledger, by its id, in a row that has no ledger. A row that has one keeps it."""
        ...

    def warm(self) -> None:
        """Prepares this session, before a pause, for what it has to do during the pause. May be called twice.

        A closed side is still closed afterwards. Its sequences may have been moved on, as by `prepare`.

        Raises:
            BlockedError: others held the tables or their sequences for some seconds.
        """
        ...

    def fence(self, *, expected: int, target: int, statement_ms: int) -> tuple[UUID, dict[str, int]]:
        """Closes the side, from open at ``expected`` to closed at ``target``: no application writes any more.

        Every write that was under way is committed or undone by then. Requests wait here until `bounce` says where they
        go; no events are held. A second call raises StaleError. Returns what `mark` returns, and from then on
        fence and marker survive a crash of the server: the marker is behind the last write.

        From the beginning of the call new writes wait at the door, but a write may pass it all the same. BlockedError
        opens the door again, and so do `reopen` and `open`; no write waits there longer than some seconds.

        Raises:
            BlockedError: the tables were not free within ``statement_ms`` milliseconds (0: however long it takes).
            StaleError: the side is not open at ``expected``.
        """
        ...

    def reopen(self, *, target: int) -> None:
        """Opens the side at ``target``, and waits for its tables without a limit. May be called twice.

        It is the way back from a fence after a switch that was aborted: no events are held. A side that is open already
        gets the new epoch without a wait.

        Raises:
            BlockedError: the server has ended the wait, because it was part of a deadlock.
            StaleError: the side is ahead of ``target``.
        """
        ...

    def begin_opening(self, *, target: int, statement_ms: int, hold_events: bool = False) -> None:
        """Begins the transaction that opens this side at ``target``; `open` or `drop_opening` ends it.

        No other session sees its changes yet; the tables are locked. With ``hold_events`` the events of this side will
        wait for `release_events`, from its first write on. The server ends the transaction when it stands still for a
        second. `drop_opening` must follow also where the transaction could not be begun.

        Raises:
            BlockedError: the tables were not free within ``statement_ms`` milliseconds (0: however long it takes).
            StaleError: the side is open, or ahead of ``target``.
        """
        ...

    def still_opening(self) -> None:
        """Returns if the session of `begin_opening` lives.

        Raises:
            LostError: it does not, so there is no opening.
        """
        ...

    def swap_ledger(self, *, frm: State, to: State, epoch: int, new_epoch: int, owner: str) -> bool:
        """Compare-and-set of the ledger in the transaction of `begin_opening`: `open` commits both, `drop_opening`
        undoes both.

        Only for the side whose database has the ledger, and only between `begin_opening` and `open`. True: the move was
        at ``frm`` and ``epoch``, and will be at ``to`` and ``new_epoch``, owned by ``owner``, with no intent. False: it
        was elsewhere, and the ledger will stay as it is.

        Raises:
            LostError: there is no opening any more, so nothing has changed.
        """
        ...

    def open(self) -> None:
        """Commits what `begin_opening` began: the side is open, and the requests that waited for it here go on.

        Raises:
            LostError: there is no opening, or the commit has failed, or it is not known whether it succeeded: `row`
                tells. A second call opens nothing.
        """
        ...

    def drop_opening(self) -> None:
        """Rolls back what `begin_opening` began. Raises nothing. May be called twice, and where there is no opening."""
        ...

    def mark(self) -> tuple[UUID, dict[str, int]]:
        """Writes a new marker, which reaches the other side behind all that was committed here before.

        Returns its id, and the last number that each sequence has given out, by the sequence's place.
        """
        ...

    def await_marker(self, marker: UUID, *, within: float) -> bool:
        """Waits for a marker of the other side. True: it is here. False: it is not here after ``within`` seconds."""
        ...

    def prepare(self, *, target: int, positions: dict[str, int]) -> None:
        """Makes this closed side fit to be opened at ``target``, and says so in its row. May be called twice.

        Its sequences go on after the numbers that either side has given out; ``positions`` are those of the other
        side's `mark`. All that has arrived here, also by a stream, survives a crash of the server afterwards.

        Raises:
            StaleError: the side is open, or ahead of ``target``; its sequences may have been moved all the same.
            MoveError: a sequence has no number left.
            BlockedError: the server has ended the wait, because it was part of a deadlock.
        """
        ...

    def backlog(self) -> int | None:
        """How many events of the capability are still in the outbox, counted up to a limit. None: there is no outbox.

        Raises:
            ConfigurationError: the outbox is not there, or does not say of which capability its rows are.
            PreflightError: the tool's role may not read it.
            BlockedError: somebody's lock keeps it from being read.
        """
        ...

    def release_events(self, *, epoch: int) -> bool:
        """Lets this side's events go. May be called twice.

        True: the side is open at ``epoch``, and holds no events. False: it is not open at ``epoch``; nothing has
        changed.
        """
        ...

    def bounce(self, to: str | None, *, epoch: int) -> None:
        """Sends the requests that wait here, and those that will come, to the side ``to``. None: they wait from now on.

        Leaves the row as it is unless the side is closed and not ahead of ``epoch``. May be called twice. A call with a
        ``to`` counts as a use for `unused`.
        """
        ...

    def unused(self) -> float | None:
        """Seconds since a request last came to this closed side's routes, or since it was closed. None: not known.

        0 while a session has noted a request and has not committed that.
        """
        ...

    def reads(self) -> Sequence[tuple[str, float]]:
        """The moved tables of this side that somebody has read, each with the seconds since then; the last one first.

        What a stream looks up by a table's key does not count. A table that streams have to search through (REPLICA
        IDENTITY FULL) is left out, for nobody can tell.
        """
        ...

    def blockers(self) -> Sequence[Blocker]:
        """The transactions of others, prepared ones included, that block a `fence` now: they hold a moved table."""
        ...

    def vacuums(self) -> Sequence[str]:
        """The moved tables that are being vacuumed now: a lock on one of them has to wait for the vacuum's end."""
        ...

    def deadlock_ms(self) -> int:
        """After how many milliseconds of a wait this server looks for a deadlock and ends one of the waits."""
        ...

    def share_reads(self, terms: Mapping[str, object] | None, *, epoch: int) -> bool:
        """Tells this side's applications on which terms both sides answer reads in this epoch; None: the owner answers
        them all, in any epoch. May be called twice.

        True: they know, from their next request on. False: this side is at another epoch, and nothing has changed.
        """
        ...

    def position(self, epoch: int) -> Position:
        """Where the log of this side's database ends: behind all that is committed here."""
        ...

    def beat(self, epoch: int) -> None:
        """Sends a heartbeat to the other side, in the place of the one before: its arrival there proves that all is
        there that was committed here before it."""
        ...

    def heard(self, epoch: int) -> tuple[Position, float] | None:
        """The other side's last heartbeat of the epoch that has arrived here, and its age in seconds. None: none
        has."""
        ...
