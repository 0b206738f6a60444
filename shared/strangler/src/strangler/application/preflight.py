"""``preflight``: all that can be known of a move before anything is changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from strangler.application.sides import Parts
from strangler.domain.errors import StranglerError, UnfitError
from strangler.domain.findings import Finding, Looked
from strangler.domain.phase import State

NEVER_LOOKED_AT = (
    "the applications' code: run `manage.py strangler_check` in the monolith and in the service",
    "what applications set in their own sessions, and rights of roles other than the tool's and the tables' owners",
)


@dataclass(frozen=True, slots=True)
class Report:
    """What was found of one capability; ``begun`` if its move has been started already."""

    capability: str
    begun: bool
    looked: Looked

    @property
    def ready(self) -> bool:
        """Whether nothing that was found forbids the next step."""
        return not self.looked.errors


def preflight(parts: Parts, *, tell: Callable[[str], None]) -> Report:
    """Looks at both databases of a capability; changes nothing, and needs no right to act on the move."""
    begun, rerun = False, False
    unreachable: list[Finding] = []
    try:
        move = parts.ledger.move(parts.name) if parts.ledger.exists() else None
    except StranglerError as error:
        move = None
        unreachable.append(error.finding())
    if move is not None:
        rerun = move.state is State.STARTING
        begun = not rerun
    if begun and parts.replication.dropped():
        looked = Looked(not_at=["the tables: the monolith no longer has them"])
    else:
        looked = parts.replication.preflight(begun=begun, rerun=rerun, tell=tell)
    if not begun and not looked.errors:
        tell("a sample of the largest table")
        try:
            looked.estimate = parts.replication.estimate()
        except StranglerError as error:
            looked.not_at.append(f"how long it takes: {error.message}")
    known = {(one.id, one.place) for one in looked.findings}
    looked.findings[:0] = [one for one in unreachable if (one.id, one.place) not in known]
    looked.not_at += NEVER_LOOKED_AT
    return Report(parts.name, begun, looked)


def require_fit(looked: Looked, *, place: str) -> None:
    """Refuses to go on with what was found.

    Raises:
        StranglerError: the error that was found; `UnfitError`, which names all, if there are several.
    """
    errors = looked.errors
    if len(errors) == 1 and errors[0].error is not None:
        raise errors[0].error
    if errors:
        raise UnfitError(errors, place=place)
