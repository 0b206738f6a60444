"""``resync``: lost streams are made anew, and the copy is brought to the moment at which they begin."""

from __future__ import annotations

import time
from dataclasses import dataclass

from strangler.application import canary, standing
from strangler.application.gates import FILTERED
from strangler.application.recovery import require_copy
from strangler.application.sides import Parts
from strangler.application.tracing import traced
from strangler.domain.errors import RefusedError, changing
from strangler.domain.phase import State
from strangler.ports.replication import Progress
from strangler.ports.tracer import Span


@dataclass(frozen=True, slots=True)
class Resynced:
    """The streams that were made anew, and how many rows of the copy were changed for this."""

    capability: str
    streams: list[str]
    rows: int
    seconds: float


def resync(parts: Parts, *, progress: Progress) -> Resynced:
    """Makes lost streams anew while the owner writes. It is run again after it was killed.

    Raises:
        RefusedError: no stream is lost, there is no copy, its columns differ, or something hides rows.
    """
    with traced(parts, "resync") as span:
        done = _resync(parts, progress=progress, span=span)
        span.note(rows=done.rows)
    return done


def _resync(parts: Parts, *, progress: Progress, span: Span) -> Resynced:
    began = time.monotonic()
    with parts.ledger.coordinating(parts.name):
        move = require_copy(parts, verb="resync")
        span.note(epoch=move.epoch)
        lost = parts.replication.lost(completed=move.state is State.COMPLETED)
        if not lost:
            raise RefusedError(
                "no stream is lost",
                place=parts.name,
                remedy=f"see `strangler doctor`; rows are mended by `strangler verify {parts.name} --repair`",
                id="no-stream-lost",
            )
        for found, remedy, named in (
            (parts.replication.drift(), "migrate the side that is behind", "tables-differ"),
            (parts.replication.filters(), FILTERED, "rows-hidden"),
        ):
            if found:
                raise RefusedError(
                    "the copy cannot be made equal:" + "".join(f"\n    {one}" for one in found),
                    place=parts.name,
                    remedy=remedy,
                    id=named,
                )
        parts.ledger.install()
        parts.replication.install()
        canary.end(parts, move)
        why = f"the {' and the '.join(lost)} stream was lost"
        with changing():
            parts.ledger.learn(parts.name, verified_at=None, **{standing.UNPROVEN: why, standing.SENTINELS: {}})
            standing.put_right(parts, move)
            rows = sum(_renew(parts, each, move.owner, progress) for each in lost)
            parts.ledger.record(parts.name, "resynced", epoch=move.epoch, streams=lost, rows=rows)
    return Resynced(parts.name, lost, rows, round(time.monotonic() - began, 3))


def _renew(parts: Parts, direction: str, owner: str, progress: Progress) -> int:
    with parts.tracer.span(f"renew {direction} stream"):
        return parts.replication.renew(direction, owner, progress)
