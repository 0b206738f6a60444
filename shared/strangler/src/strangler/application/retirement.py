"""``retire``: the monolith is no longer needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from strangler.application import identity
from strangler.application.sides import Parts
from strangler.domain.errors import RefusedError, changing
from strangler.domain.phase import RETIRED, TOLD, State
from strangler.domain.project import Project
from strangler.domain.words import counted


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Processes that run outside the stack; ``answering`` is the address of one that answers, or None."""

    names: Sequence[str]
    answering: Callable[[], str | None]


NOWHERE = Elsewhere((), lambda: None)


def processes(project: Project) -> list[str]:
    """The monolith's own processes: those that use its database."""
    return [name for name, process in project.processes.items() if process.database == project.ledger]


def retirable(all_parts: Sequence[Parts], elsewhere: Elsewhere = NOWHERE) -> None:
    """Returns if the monolith can be retired; changes nothing.

    Raises:
        RefusedError: while the monolith still owns something, there is a way back to it, its relay has not sent all,
            or a process that runs ``elsewhere`` answers: a process that only others can stop must be stopped before.
    """
    for parts in all_parts:
        move = parts.ledger.move(parts.name)
        if move is None or move.state is not State.COMPLETED:
            raise RefusedError(
                "has not left the monolith" if move is None else f"its move {TOLD[move.state]}",
                place=parts.name,
                remedy=f"complete every capability first; see `strangler status {parts.name}`",
                id="move-state",
            )
        if waiting := parts.monolith.backlog():
            raise RefusedError(
                f"{counted(waiting, 'event')} {'waits' if waiting == 1 else 'wait'} in the monolith's outbox",
                place=parts.name,
                remedy="see that its relay runs; they are lost to those who wait for them when it stops",
                id="events-unsent",
            )
    if answering := elsewhere.answering():
        raise RefusedError(
            "it answers still, and is not this stack's to stop",
            place=answering,
            remedy=f"stop these where they run, the relay last, then run it again: {', '.join(elsewhere.names)}",
            id="answers-elsewhere",
        )


def retire(all_parts: Sequence[Parts], stop: Callable[[], None], elsewhere: Elsewhere = NOWHERE) -> None:
    """Stops, with ``stop``, the monolith's processes here, then ends the streams to its copies; can be run again.

    Its database stays as it is: the ledger and the history are in it.

    Raises:
        RefusedError: see `retirable`.
    """
    with ExitStack() as held:
        for parts in all_parts:
            held.enter_context(parts.ledger.coordinating(parts.name))
            identity.require(parts, parts.ledger.move(parts.name))
        retirable(all_parts, elsewhere)
        with changing():
            stop()
            for parts in all_parts:
                parts.ledger.learn(parts.name, **{RETIRED: True})
                if not parts.replication.dropped():
                    parts.replication.end_reverse()
                parts.ledger.record(parts.name, RETIRED)
