"""``complete`` and ``cancel``: the two ends of a move."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

from strangler.application import canary
from strangler.application.recovery import recover, require_nobody_at_work
from strangler.application.sides import Parts, swap
from strangler.application.tracing import traced
from strangler.domain.errors import RefusedError, changing
from strangler.domain.move import Move
from strangler.domain.phase import State, require
from strangler.domain.project import MONOLITH, SERVICE
from strangler.domain.words import counted

UNUSED_SECONDS = 600.0


def completable(
    parts: Parts, *, drop: bool, unused_for: float = UNUSED_SECONDS, unread_for: float = UNUSED_SECONDS
) -> tuple[Move, list[str]]:
    """The move, and the seams by which the monolith still reads the capability; changes nothing.

    Raises:
        RefusedError: when the service does not own it; with ``drop`` also while a seam is left, or while the monolith's
            routes have been asked for within the last ``unused_for`` seconds, or its copy of the tables has been read
            within the last ``unread_for``.
    """
    move = parts.ledger.move(parts.name)
    require_nobody_at_work(parts, move)
    require(parts.name, move.state if move else None, State.COMPLETED, verb="complete")
    assert move is not None
    if move.owner != SERVICE:
        raise RefusedError(
            f"the {move.owner} owns it",
            place=parts.name,
            remedy=f"run `strangler switch {parts.name}` first",
            id="other-owner",
        )
    seams = parts.replication.seams()
    if drop and seams:
        raise RefusedError(
            f"the monolith still reads it: {', '.join(seams)}",
            place=parts.name,
            remedy="complete it without --drop now; the last of these to leave makes --drop possible",
            id="still-needed",
        )
    if drop and not parts.replication.dropped():
        _require_quiet(parts, unused_for, unread_for)
    return move, seams


def _require_quiet(parts: Parts, unused_for: float, unread_for: float) -> None:
    """Names both at once, so that a person who knows better of the one has seen the other."""
    found = [one for one in (_used(parts, unused_for), _read(parts, unread_for)) if one is not None]
    if found:
        raise RefusedError(
            "; ".join(one.message for one in found),
            place=parts.name,
            remedy="; ".join(one.remedy for one in found),
            id=found[0].id,
        )


@dataclass(frozen=True, slots=True)
class _Use:
    """Something that would fail after a drop."""

    id: str
    message: str
    remedy: str


def _used(parts: Parts, seconds: float) -> _Use | None:
    """The gateway sends nothing to the old routes any more; a client that still reaches them goes another way."""
    since = parts.monolith.unused()
    if since is None and seconds > 0:
        return _Use(
            "routes-in-use",
            "it is not known since when the monolith's routes have been unused",
            "give --unused-for 0s when you know it yourself",
        )
    if since is not None and since < seconds:
        return _Use(
            "routes-in-use",
            f"the monolith's routes were in use {since:.0f} s ago, and must have been unused for {seconds:.0f} s",
            "find who asks the monolith past the gateway (its access log), or wait, or give --unused-for",
        )
    return None


def _read(parts: Parts, seconds: float) -> _Use | None:
    """What stays reads the copy by pages, reports and jobs that nobody has named; no route and no key tells of them."""
    lately = [(table, since) for table, since in parts.monolith.reads() if since < seconds]
    if not lately:
        return None
    table, since = lately[0]
    others = f" (and {counted(len(lately) - 1, 'other table')})" if lately[1:] else ""
    return _Use(
        "still-needed",
        f"the monolith's copy of {table}{others} was read {since:.0f} s ago, and must have been unread for "
        f"{seconds:.0f} s",
        "find what still reads it there (a page, a report, a job), for it would fail from then on: "
        f"`manage.py strangler_check {parts.name} --before-drop` names what does in the project; or wait, or give "
        "--unread-for",
    )


def complete(
    parts: Parts, *, drop: bool, unused_for: float = UNUSED_SECONDS, unread_for: float = UNUSED_SECONDS
) -> list[str]:
    """Ends the way back; the stream to the monolith stays while something there reads its rows.

    Returns the seams that are left.

    Raises:
        RefusedError: see `completable`.
    """
    with traced(parts, "complete") as span, parts.ledger.coordinating(parts.name):
        recover(parts)
        move, seams = completable(parts, drop=drop, unused_for=unused_for, unread_for=unread_for)
        span.note(epoch=move.epoch)
        with ExitStack() as held:
            if move.state is State.MOVING:
                swap(parts, move, to=State.COMPLETED)
                held.enter_context(changing())
            with parts.tracer.span("end forward stream"):
                parts.replication.end_forward()
            if drop:
                with parts.tracer.span("drop old tables"):
                    parts.replication.drop_old()
        parts.ledger.record(parts.name, "completed" + (" and dropped" if drop else ""), epoch=move.epoch, seams=seams)
    return seams


def cancellable(parts: Parts) -> Move:
    """The move, if it can be given up; changes nothing.

    Raises:
        RefusedError: when the monolith does not own the capability, or has deletions to clean up after.
    """
    move = parts.ledger.move(parts.name)
    require_nobody_at_work(parts, move)
    require(parts.name, move.state if move else None, State.CANCELLING, verb="cancel")
    assert move is not None
    if move.owner != MONOLITH:
        raise RefusedError(
            f"the {move.owner} owns it",
            place=parts.name,
            remedy=f"run `strangler reverse {parts.name}` first",
            id="other-owner",
        )
    copy = parts.service.row()
    if copy is not None and copy.open:
        raise RefusedError(
            f"the service is open at epoch {copy.epoch}: what is there is no copy, and would be deleted",
            place=parts.name,
            remedy="see whose it is: a ledger that was copied or put back from a backup must not act on it",
            id="side-open",
        )
    orphans = parts.replication.orphans()
    left = orphans.get("waiting", 0) + orphans.get("failing", 0)
    if left:
        raise RefusedError(
            f"{counted(left, 'deletion')} that came by the stream {'waits' if left == 1 else 'wait'} for a clean-up",
            place=parts.name,
            remedy="see that the sweep runs, and strangler.orphan for its errors",
            id="clean-up-waits",
        )
    return move


def cancel(parts: Parts) -> None:
    """Removes all that the move has made, the copied rows too. It is run again after it was killed.

    Raises:
        RefusedError: see `cancellable`.
    """
    with traced(parts, "cancel") as span, parts.ledger.coordinating(parts.name):
        recover(parts)
        move = cancellable(parts)
        span.note(epoch=move.epoch)
        canary.end(parts, move)
        if move.state is not State.CANCELLING:
            swap(parts, move, to=State.CANCELLING)
        with changing(), parts.tracer.span("remove streams and copy"):
            parts.replication.remove()
        # Recorded first: the next move's epoch begins after the last one in the history.
        parts.ledger.record(parts.name, "cancelled", epoch=move.epoch)
        parts.ledger.forget(parts.name)
