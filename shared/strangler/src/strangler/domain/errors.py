"""Every error a user can meet; each says where it is and what to do next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from strangler.domain.findings import Finding, Severity


class StranglerError(Exception):
    """Base of all errors that are shown to the user without a traceback.

    ``place`` names what is wrong (a key, a table, a server), ``remedy`` the next action. ``id`` is the heading of its
    section in docs/how-to/when-something-is-wrong.md.
    """

    exit_code = 2
    id = "refused"

    def __init__(self, message: str, *, place: str = "", remedy: str = "", id: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.place = place
        self.remedy = remedy
        self.id = id or type(self).id

    def __str__(self) -> str:
        head = f"{self.place}: {self.message}" if self.place else self.message
        return f"{head}\n  → {self.remedy}" if self.remedy else head

    @property
    def findings(self) -> Sequence[Finding]:
        """What stands in the way, for a program that reads it."""
        return [self.finding()]

    def finding(self, severity: Severity = Severity.ERROR) -> Finding:
        """The error as one of several things that were found; `Finding.error` is this error."""
        return Finding(self.id, severity, self.place, self.message, self.remedy, error=self)


class ConfigurationError(StranglerError):
    """``strangler.toml`` cannot be used as it stands."""

    id = "configuration"


class StackError(StranglerError):
    """The local stack is not up, or a part of it does not start."""

    id = "unreachable"


class PreflightError(StranglerError):
    """A database is not fit for a move; nothing has been changed."""

    id = "preflight"


class UnfitError(PreflightError):
    """Several things stand in the way of a move; nothing has been changed."""

    def __init__(self, findings: Sequence[Finding], *, place: str) -> None:
        super().__init__(
            f"{len(findings)} things stand in the way:"
            + "".join(f"\n    {one.place}: {one.message}" for one in findings),
            place=place,
            remedy="\n    ".join(dict.fromkeys(one.remedy for one in findings)),
        )
        self._findings = findings

    @property
    def findings(self) -> Sequence[Finding]:
        """Each of them."""
        return self._findings


class RefusedError(StranglerError):
    """The move is not in a phase in which this can be done, or a gate is shut."""


class MoveError(StranglerError):
    """A step failed and was undone."""

    exit_code = 1
    id = "step-failed"


@contextmanager
def changing() -> Iterator[None]:
    """Around what changes something: an error in it, of whatever class, ends with exit code 1. Exit code 2 says that
    nothing was changed."""
    try:
        yield
    except StranglerError as error:
        error.exit_code = MoveError.exit_code
        raise
