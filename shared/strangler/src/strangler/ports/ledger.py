"""What the application asks of the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

from strangler.domain.move import Entry, Identity, Move
from strangler.domain.phase import State


class Ledger(Protocol):
    """Moves, their epochs and history, spoken to in one session.

    The first call that needs the session opens it, also after it was lost. The right to act on a move belongs to the
    session: a coordinator that has lost its session has lost the right, and can no longer write by that session. A
    method has committed its changes when it returns. Where the ledger has not been installed, `exists`, `identity`,
    `move` and `moves` say so, `try_lock` and `coordinating` find nobody in the way, and besides these only `install`,
    `close` and `unlock` may be called.

    Raises:
        LostError: every method but `close` and `unlock`: the session has ended, and it is not known whether the call
            took effect.
        StackError: the same methods: the server cannot be reached.
        PreflightError: the same methods: the tool's schema there, or something in it, belongs to somebody else.
    """

    def install(self) -> None:
        """Makes the ledger, or brings it up to date. May be called again, and by several at the same time.

        A role that may not make anything, such as that of a gateway's agent, only checks that it is there.

        Raises:
            StackError: it is not there, and this role may not make it.
            MoveError: others held what had to be changed, for too long.
        """
        ...

    def close(self) -> None:
        """Ends the session, and gives up every right to act. May be called twice, and the ledger be used again."""
        ...

    def exists(self) -> bool:
        """Whether it has been installed here."""
        ...

    def identity(self) -> Identity | None:
        """Which ledger this is. None: it has not been installed, or by a version that gave it no name."""
        ...

    def moves(self) -> list[Move]:
        """All moves, sorted by capability."""
        ...

    def move(self, capability: str) -> Move | None:
        """One move as it is now. None: it has not been started, or was cancelled."""
        ...

    def coordinating(self, capability: str) -> AbstractContextManager[None]:
        """The right to act on a move for as long as the context is open; one session has it at a time.

        Waits some seconds for the session that has it. A process that stands still for seconds loses the right: its
        session is ended. The context must not be entered twice for one capability.

        Raises:
            RefusedError: another session still has it.
        """
        ...

    def try_lock(self, capability: str) -> bool:
        """Takes the same right, without a wait. It lasts until `unlock`, or the session's end.

        True: this session has it now, or had it already. False: another session has it.
        """
        ...

    def unlock(self, capability: str) -> None:
        """Gives the right back, if this session has it. Raises nothing when the session was lost. May be called
        twice."""
        ...

    def begin(self, capability: str) -> Move:
        """Records the intent to start: a move that is ``starting``, owned by the monolith, without facts. Returns the
        move.

        Its epoch has never been used, neither by an earlier attempt nor by a move that was cancelled: a process that
        still acts for one of those is behind. So each call gives a move that is ``starting`` a new epoch. A move in
        another state is returned as it is.
        """
        ...

    def swap(
        self,
        capability: str,
        *,
        frm: State,
        to: State,
        epoch: int,
        new_epoch: int | None = None,
        owner: str | None = None,
        intent: str | None = None,
    ) -> bool:
        """Compare-and-set of state and epoch.

        True: the move was at ``frm`` and ``epoch``. Now it is at ``to`` and ``new_epoch`` (None: the same epoch), of
        ``owner`` (None: the same owner), with ``intent`` (None: without), and no step is noted. False: it is elsewhere,
        or there is none; nothing has changed.
        """
        ...

    def note_step(self, capability: str, step: str, *, epoch: int) -> None:
        """Says what is about to be done, for others to see. May be called twice.

        Raises:
            StaleError: the move is not at ``epoch``; nothing has changed.
        """
        ...

    def learn(self, capability: str, **facts: object) -> None:
        """Adds facts to those of the move. A fact of the same name is replaced, also if the new value is None.

        Values are JSON's; anything else comes back as text. Does nothing where there is no move.
        """
        ...

    def forget(self, capability: str) -> None:
        """Removes the move. Its history stays, so that no epoch is used again. May be called twice."""
        ...

    def record(
        self, capability: str, what: str, *, epoch: int | None = None, took_ms: float | None = None, **details: object
    ) -> None:
        """Appends to the history: once for each call. ``took_ms`` are milliseconds; ``details`` are as in `learn`."""
        ...

    def history(self, capability: str, *, after: int = 0) -> list[Entry]:
        """What was recorded of the capability, in that order; only entries whose numbers are greater than ``after``.

        Not all at once: as long as something is returned, there may be more. Entries are written under the right to
        act on the move, so none comes before one that has been returned.
        """
        ...

    def archived_at(self) -> datetime | None:
        """When the ledger's server last gave a piece of its WAL away to its archive. None: it has no archive, or has
        given nothing to it. Says nothing of backups that are made in other ways."""
        ...

    def agent_seen(self, agent: str, epochs: Mapping[str, int]) -> None:
        """A gateway's agent says that it lives, and which epoch of each capability its gateway routes by."""
        ...

    def agent_gone(self, agent: str) -> None:
        """The agent has left, so nobody has to wait for it. May be called twice, and for an agent that was never
        seen."""
        ...

    def agents(self, *, within: float) -> dict[str, dict[str, int]]:
        """What each agent has said last, if it was seen in the last ``within`` seconds."""
        ...

    def listen(self) -> None:
        """From here on `await_change` hears of every change of a move. Must be called again after a LostError."""
        ...

    def await_change(self, *, within: float) -> bool:
        """Waits for a change that it has not reported yet; a change between two calls is not missed.

        True: there was at least one. False: there was none, in ``within`` seconds.
        """
        ...
