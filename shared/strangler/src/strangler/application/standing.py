"""Compares what is on both sides with what should be there: before each step, and all the time by ``serve``."""

from __future__ import annotations

from collections.abc import Sequence

from strangler.application import identity
from strangler.application.sides import Parts
from strangler.domain.errors import RefusedError
from strangler.domain.move import Deviation, Move
from strangler.domain.phase import RETIRED, State

SENTINELS = "sentinels"  # the fact that names the markers which streams that stood still have to bring
PASSED_OVER = "passed_over"  # the fact that says what such a stream has not carried, until the copy is verified
UNPROVEN = "unproven"  # the fact that says why the last verify no longer counts


def look(parts: Parts, move: Move) -> list[Deviation]:
    """Everything that differs from the sides' rows; where there are no streams, only what refuses the owner's
    writes."""
    # Another ledger's streams may not be mended, so there is nothing to say of them.
    if foreign := identity.look(parts, move):
        return foreign
    return _deviations(parts, move)


def _deviations(parts: Parts, move: Move) -> list[Deviation]:
    if _streams(parts, move):
        return parts.replication.deviations(completed=move.state is State.COMPLETED)
    if move.state in {State.STARTING, State.COMPLETED}:
        return parts.replication.stopped(move.owner, epoch=move.epoch, ended=move.state is State.COMPLETED)
    return []


def put_right(parts: Parts, move: Move) -> list[str]:
    """Turns right what needs no person's decision, and forgets a proof that no longer holds; returns what was done.

    The caller holds the move's lock, and has recovered the move.
    """
    if not _streams(parts, move):
        return relieve(parts, move)
    found = _deviations(parts, move)  # `recover` has checked whose the sides are
    # First of all: a process that ends after it has turned something right must not leave a proof that no longer holds.
    done = _doubt(parts, move, found)
    if any(each.mendable for each in found):
        right = parts.replication.set_right(found, owner=move.owner, epoch=move.epoch)
        for each in right:
            parts.ledger.record(parts.name, each, epoch=move.epoch, found=[str(one) for one in found])
        done += right
    return done


def doubt(parts: Parts, move: Move) -> bool:
    """Forgets a proof that no longer holds, and turns nothing right. Called before an install replaces what is wrong.

    Returns whether anything is not as it should be.
    """
    found = _deviations(parts, move)  # `recover` has checked whose the sides are
    return bool(_doubt(parts, move, found) or found)


def _doubt(parts: Parts, move: Move, found: Sequence[Deviation]) -> list[str]:
    doubts = [*_passed_over(parts, move), *(str(each) for each in found if each.unproven)]
    return [_forget_proof(parts, move, doubts)] if doubts and move.facts.get("verified_at") else []


def relieve(parts: Parts, move: Move) -> list[str]:
    """Keeps an owner's own fences from refusing its writes; returns what was done.

    It works also while another process holds the move's lock, for a first copy or a verify can take hours.
    """
    if move.state not in {State.STARTING, State.MOVING, State.COMPLETED}:
        return []
    ended = move.state is State.COMPLETED and not _streams(parts, move)
    done = parts.replication.relieve(move.owner, epoch=move.epoch, ended=ended)
    for each in done:
        parts.ledger.record(parts.name, each, epoch=move.epoch)
    return done


def _streams(parts: Parts, move: Move) -> bool:
    if move.state is State.COMPLETED:
        return not (move.facts.get(RETIRED) or parts.replication.dropped())
    return move.state is State.MOVING


def require(parts: Parts, move: Move) -> None:
    """Refuses to go on while something is not as it should be.

    Raises:
        RefusedError: naming all of it.
    """
    found = look(parts, move)
    if found:
        raise RefusedError(
            "not everything is as the move has left it:" + "".join(f"\n    {each}" for each in found),
            place=parts.name,
            remedy=remedies(found),
            id="standing",
        )


def remedies(found: Sequence[Deviation]) -> str:
    """What to do about all of them, each thing once."""
    return "; ".join(dict.fromkeys(each.remedy for each in found))


def _passed_over(parts: Parts, move: Move) -> list[str]:
    known = move.facts.get(SENTINELS) or {}
    kept, passed = parts.replication.sentinels(known, completed=move.state is State.COMPLETED)
    if passed:
        parts.ledger.learn(parts.name, **{SENTINELS: kept, PASSED_OVER: passed[0]})
    elif kept != known:
        parts.ledger.learn(parts.name, **{SENTINELS: kept})
    return passed


def _forget_proof(parts: Parts, move: Move, doubts: Sequence[str]) -> str:
    parts.ledger.learn(parts.name, verified_at=None, **{UNPROVEN: doubts[0]})
    what = "the last verify no longer counts"
    parts.ledger.record(parts.name, what, epoch=move.epoch, found=list(doubts))
    return f"{what}: {'; '.join(doubts)}"
