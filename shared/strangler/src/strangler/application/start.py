"""``start``: the copy is made and both streams run."""

from __future__ import annotations

import time
from dataclasses import dataclass

from strangler.application import identity
from strangler.application.preflight import require_fit
from strangler.application.sides import Parts, swap
from strangler.domain.errors import changing
from strangler.domain.findings import Finding
from strangler.domain.phase import State, require
from strangler.ports.replication import Patience, Progress
from strangler.steps.copy_rows import CopyRows
from strangler.steps.fence_copy import FenceCopy
from strangler.steps.starting import Start
from strangler.steps.step import Boundary, Step, run
from strangler.steps.stream_back import StreamBack
from strangler.steps.stream_forward import StreamForward

STEPS: list[Step[Start]] = [FenceCopy(), CopyRows(), StreamForward(), StreamBack()]


@dataclass(frozen=True, slots=True)
class Started:
    """What a start did: rows copied, rows per second while copying, total seconds, and warnings of the preflight."""

    capability: str
    rows: int
    copy_rows_per_s: float
    seconds: float
    warnings: list[str]
    findings: list[Finding]


def start(parts: Parts, *, progress: Progress, boundary: Boundary, patience: Patience | None = None) -> Started:
    """Makes the copy and both streams. It begins anew after it was killed.

    It has to wait for transactions that are open: for those of the moved tables, and once for all of the monolith's
    server.

    Raises:
        PreflightError: a database is not fit; nothing has been changed.
        RefusedError: the move has been started already, another command is at work, or a side is another ledger's.
        MoveError: a step failed; run it again.
    """
    began = time.monotonic()
    warnings = None
    if not parts.ledger.exists():
        warnings = _preflight(parts, rerun=False)
        parts.ledger.install()
    with parts.ledger.coordinating(parts.name):
        present = parts.ledger.move(parts.name)
        require(parts.name, present.state if present else None, State.STARTING, verb="start")
        identity.require(parts, present)
        # What was looked at before the ledger was made is as fresh, unless another command came in between.
        if warnings is None or present is not None:
            warnings = _preflight(parts, rerun=present is not None)
        with changing():
            run_start = _run(parts, progress=progress, boundary=boundary, patience=patience or Patience())
    return Started(
        capability=parts.name,
        rows=run_start.rows,
        copy_rows_per_s=round(run_start.rows / max(run_start.copy_seconds, 1e-9), 1),
        seconds=round(time.monotonic() - began, 3),
        warnings=[one.message for one in warnings],
        findings=warnings,
    )


def _run(parts: Parts, *, progress: Progress, boundary: Boundary, patience: Patience) -> Start:
    move = parts.ledger.begin(parts.name)
    run_start = Start(
        capability=parts.name,
        ledger=parts.ledger,
        replication=parts.replication,
        epoch=move.epoch,
        progress=progress,
        patience=patience,
    )
    run(STEPS, run_start, boundary=boundary)
    swap(parts, move, to=State.MOVING)
    parts.ledger.record(parts.name, "started", epoch=move.epoch, rows=run_start.rows)
    return run_start


def _preflight(parts: Parts, *, rerun: bool) -> list[Finding]:
    looked = parts.replication.preflight(begun=False, rerun=rerun)
    require_fit(looked, place=parts.name)
    return looked.findings
