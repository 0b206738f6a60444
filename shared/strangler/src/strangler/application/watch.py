"""Recovery as a patrol: every second, each change that has no coordinator is finished or unwound."""

from __future__ import annotations

from collections.abc import Callable

from strangler.application import canary, standing
from strangler.application.recovery import recover
from strangler.application.sides import Parts
from strangler.domain.phase import State

Report = Callable[[str, str], None]
"""Called with a capability and what was done for it."""


def patrol(parts: Parts, report: Report) -> None:
    """Looks at one capability once. While a process holds its lock, only what keeps its owner from writing is put
    right.

    Raises:
        StranglerError: when a server is away; the caller tries again.
    """
    if not parts.ledger.try_lock(parts.name):
        busy = parts.ledger.move(parts.name)
        for changed in standing.relieve(parts, busy) if busy is not None else ():
            report(parts.name, changed)
        return
    try:
        done = recover(parts)
        if done:
            report(parts.name, done)
        move = parts.ledger.move(parts.name)
        if move is not None and move.state in {State.MOVING, State.COMPLETED}:
            for changed in parts.replication.readdress():
                parts.ledger.record(parts.name, changed, epoch=move.epoch)
                report(parts.name, changed)
        if move is not None:
            for changed in standing.put_right(parts, move):
                report(parts.name, changed)
        move = parts.ledger.move(parts.name)  # its proof may be lost by now
        if move is not None and move.state in {State.MOVING, State.COMPLETED}:
            for changed in canary.look_after(parts, move):
                report(parts.name, changed)
    finally:
        parts.ledger.unlock(parts.name)
