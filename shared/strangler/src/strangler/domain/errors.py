"""Every error a user can meet; each says where it is and what to do next."""

from __future__ import annotations


class StranglerError(Exception):
    """Base of all errors that are shown to the user without a traceback.

    ``place`` names what is wrong (a key, a table, a server), ``remedy`` the next action.
    """

    exit_code = 2

    def __init__(self, message: str, *, place: str = "", remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.place = place
        self.remedy = remedy

    def __str__(self) -> str:
        head = f"{self.place}: {self.message}" if self.place else self.message
        return f"{head}\n  → {self.remedy}" if self.remedy else head


class ConfigurationError(StranglerError):
    """``strangler.toml`` cannot be used as it stands."""


class StackError(StranglerError):
    """The local stack is not up, or a part of it does not start."""


class PreflightError(StranglerError):
    """A database is not fit for a move; nothing has been changed."""


class RefusedError(StranglerError):
    """The move is not in a phase in which this can be done, or a gate is shut."""


class MoveError(StranglerError):
    """A step failed and was undone."""

    exit_code = 1
