"""``verify``: the copy is proved equal to the owner, row by row, while writes go on."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime

from strangler.application import standing
from strangler.application.gates import FILTERED
from strangler.application.recovery import require_copy
from strangler.application.sides import Parts
from strangler.application.tracing import traced
from strangler.domain.errors import RefusedError, changing
from strangler.ports.replication import Progress
from strangler.ports.tracer import Span


@dataclass(frozen=True, slots=True)
class Verified:
    """What was compared; ``differing`` counts rows that still differ, ``differences`` names the first found."""

    capability: str
    verified_rows: int
    verify_rows_per_s: float
    differing: int
    repaired: int
    seconds: float
    differences: list[str] = field(default_factory=list)


def verify(parts: Parts, *, repair: bool, progress: Progress) -> Verified:
    """Compares all rows; with ``repair`` mends the copy and compares again.

    Raises:
        RefusedError: when there is no copy to verify, its columns differ, or something hides rows from the tool.
    """
    with traced(parts, "verify") as span:
        found = _verify(parts, repair=repair, progress=progress, span=span)
        span.note(rows=found.verified_rows, differing=found.differing, repaired=found.repaired)
    return found


def _verify(parts: Parts, *, repair: bool, progress: Progress, span: Span) -> Verified:
    began = time.monotonic()
    with parts.ledger.coordinating(parts.name):
        move = require_copy(parts, verb="verify")
        span.note(epoch=move.epoch)
        filters = parts.replication.filters()
        if filters:
            raise RefusedError(
                "not every row can be seen:" + "".join(f"\n    {one}" for one in filters),
                place=parts.name,
                remedy=FILTERED,
                id="rows-hidden",
            )
        drift = parts.replication.drift()
        if drift:
            raise RefusedError(
                "the tables are not equal on both sides:" + "".join(f"\n    {one}" for one in drift),
                place=parts.name,
                remedy="migrate the side that is behind",
                id="tables-differ",
            )
        # This puts back a function that somebody has replaced.
        parts.ledger.install()
        parts.replication.install()
        standing.put_right(parts, move)
        standing.require(parts, move)
        # Errors are counted from before the proof, so that the proof does not forget an error that happens during it.
        errors = {stream.direction: stream.errors for stream in parts.replication.streams()}
        with changing() if repair else nullcontext():
            with parts.tracer.span("repair rows" if repair else "compare rows"):
                proof = parts.replication.verify(move.owner, progress, mend=repair)
            found = proof
            if proof.repaired:
                with parts.tracer.span("compare rows"):
                    proof = parts.replication.verify(move.owner, progress, mend=False)
        seconds = time.monotonic() - began
        parts.ledger.learn(
            parts.name,
            verified_at=datetime.now(UTC).isoformat(),
            verified_rows=proof.rows,
            differing=proof.differing,
            errors=errors,
            **{standing.UNPROVEN: None, standing.PASSED_OVER: None},
        )
        parts.ledger.record(parts.name, "verified", took_ms=seconds * 1000, rows=proof.rows, differing=proof.differing)
    return Verified(
        capability=parts.name,
        verified_rows=proof.rows,
        verify_rows_per_s=round(proof.rows / max(seconds, 1e-9), 1),
        differing=proof.differing,
        repaired=found.differing - proof.differing if repair else 0,
        seconds=round(seconds, 3),
        differences=proof.differences or found.differences,
    )
