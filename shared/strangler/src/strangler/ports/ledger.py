"""What the application asks of the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Protocol

from strangler.domain.move import Identity, Move
from strangler.domain.phase import State


class Ledger(Protocol):
    """Moves, their epochs and history, spoken to in one session.

    The session is opened by the first call that needs it, and anew after it was lost. The right to act on a move is the
    session's: whoever has lost it can no longer write by that session. What a method changes is committed when it
    returns. Where the ledger has not been installed, `exists`, `identity`, `move` and `moves` say so, `try_lock` and
    `coordinating` find nobody in the way, and nothing else may be called but `install`, `close` and `unlock`.

    Raises:
        LostError: by every method but `close` and `unlock`: the session has ended, and it is not known whether what was
            asked for has happened.
        StackError: by the same: the server cannot be reached.
        PreflightError: by the same: what is the tool's there belongs to somebody else.
    """

    def install(self) -> None:
        """Makes the ledger, or brings it up to date. May be called again, and by several at the same time.

        A role that may not make anything, as that of a gateway's agent, only finds it there.

        Raises:
            StackError: it is not there, and this role may not make it.
            MoveError: others kept what had to be changed, for too long.
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

        Waits some seconds for who has it. A process that stands still for seconds loses it: its session is ended. It is
        not to be entered twice for one capability.

        Raises:
            RefusedError: another still has it.
        """
        ...

    def try_lock(self, capability: str) -> bool:
        """Takes the same right, without a wait. It lasts until `unlock`, or the session's end.

        True: it is ours now, or was already. False: another session has it.
        """
        ...

    def unlock(self, capability: str) -> None:
        """Gives the right back, if it is ours. Raises nothing when the session was lost. May be called twice."""
        ...

    def begin(self, capability: str) -> Move:
        """Records the intent to start: ``starting``, of the monolith, without facts. Returns the move.

        Its epoch has never been used, not by an earlier attempt and not by a move that was cancelled: whoever still
        acts for one of those is behind. So each call gives a move that is ``starting`` a new epoch. A move in another
        state is returned as it is.
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
        """Adds facts to those of the move; one of the same name is replaced, by None too.

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

    def agent_seen(self, agent: str, epochs: Mapping[str, int]) -> None:
        """A gateway's agent says that it lives, and which epoch of each capability its gateway routes by."""
        ...

    def agent_gone(self, agent: str) -> None:
        """The agent has left, and nobody is to wait for it. May be called twice, and for one that was never seen."""
        ...

    def agents(self, *, within: float) -> dict[str, dict[str, int]]:
        """What each agent has said last, if it was seen in the last ``within`` seconds."""
        ...

    def listen(self) -> None:
        """From here on `await_change` hears of every change of a move. To be called anew after a LostError."""
        ...

    def await_change(self, *, within: float) -> bool:
        """Waits for a change that it has not yet told; one between two calls is not missed.

        True: there was at least one. False: there was none, in ``within`` seconds.
        """
        ...
