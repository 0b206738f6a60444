"""``switch`` and ``reverse``: the owner changes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from strangler.application import gates as gating
from strangler.application import standing
from strangler.application.recovery import recover, require_nobody_at_work
from strangler.application.sides import Parts
from strangler.application.tracing import traced
from strangler.domain.errors import MoveError, RefusedError, changing
from strangler.domain.move import Move
from strangler.domain.phase import State, require
from strangler.domain.project import MONOLITH, SERVICE
from strangler.ports.tracer import Span, Tracer
from strangler.steps import unwinding
from strangler.steps.announce import Announce
from strangler.steps.begin_opening import BeginOpening
from strangler.steps.drain_stream import DrainStream
from strangler.steps.fence_owner import FenceOwner
from strangler.steps.flip_routes import FlipRoutes
from strangler.steps.open_owner import OpenOwner
from strangler.steps.prepare_owner import PrepareOwner
from strangler.steps.release_events import ReleaseEvents
from strangler.steps.release_requests import ReleaseRequests
from strangler.steps.step import Boundary, Step, Taken, run
from strangler.steps.switching import Switch
from strangler.steps.take_ownership import TakeOwnership

TOWARDS = {"switch": SERVICE, "reverse": MONOLITH}

REVOCABLE: list[Step[Switch]] = [
    Announce(),
    FenceOwner(),
    DrainStream(),
    PrepareOwner(),
    BeginOpening(),
    TakeOwnership(),
]
FORWARD_ONLY: list[Step[Switch]] = [OpenOwner(), ReleaseRequests(), FlipRoutes(), ReleaseEvents()]
STEPS = [*REVOCABLE, *FORWARD_ONLY]


@dataclass(frozen=True, slots=True)
class Switched:
    """What a switch did; ``steps`` with their milliseconds.

    ``pause_ms`` lasts from the first of the ``tries`` to fence, which shut the door to new writes, to the lift.
    ``lifted_at`` is when the new owner was open, in UTC; ``since_lift_ms`` lasts from then to the end of the command.
    With ``events_held`` the owner's events still wait for events that the old owner has not sent.
    """

    capability: str
    verb: str
    owner: str
    epoch: int
    pause_ms: float
    tries: int
    lifted_at: str
    since_lift_ms: float
    seconds: float
    steps: list[Taken]
    events_held: bool = False


def plan(parts: Parts, verb: str, ready: gating.Ready) -> tuple[Move, list[gating.Gate]]:
    """The move as it is, and its gates as they are now; changes nothing.

    Raises:
        RefusedError: when the move is not in a state to be switched, or the side owns it already.
    """
    move = _switchable(parts, verb)
    return move, gating.measure(parts, move, ready)


def _switchable(parts: Parts, verb: str) -> Move:
    move = parts.ledger.move(parts.name)
    require_nobody_at_work(parts, move)
    require(parts.name, move.state if move else None, State.SWITCHING, verb=verb)
    assert move is not None
    if move.owner == TOWARDS[verb]:
        raise RefusedError(
            f"the {move.owner} owns it already", place=parts.name, remedy="nothing is to be done", id="owned-already"
        )
    return move


def switch(parts: Parts, verb: str, *, ready: gating.Ready, timeout: float, boundary: Boundary) -> Switched:
    """Passes the gates, then moves ownership; on any failure before the point of no return everything is as before.

    Raises:
        RefusedError: a gate stayed shut, or another command is at work.
        MoveError: a step failed; the message says what became of the move.
    """
    with traced(parts, verb) as span:
        done = _switch(parts, verb, ready=ready, timeout=timeout, boundary=boundary, span=span)
        span.note(events_held=done.events_held)
    return done


def _switch(
    parts: Parts, verb: str, *, ready: gating.Ready, timeout: float, boundary: Boundary, span: Span
) -> Switched:
    started = time.monotonic()
    with parts.ledger.coordinating(parts.name):
        recover(parts)
        move = _switchable(parts, verb)
        doubtful = standing.doubt(parts, move)
        # The schema of an older version of the tool may lack something.
        parts.ledger.install()
        parts.replication.install()
        if doubtful:
            standing.put_right(parts, move)
            move = _switchable(parts, verb)  # it may have lost its proof
        with parts.tracer.span("pass gates"):
            gating.pass_all(parts, move, ready, deadline=started + timeout)
        run_switch = Switch(
            capability=parts.name,
            verb=verb,
            ledger=parts.ledger,
            old=parts.sides[move.owner],
            new=parts.opposite(move.owner),
            epoch=move.epoch,
            deadline=started + timeout,
        )
        span.note(epoch=run_switch.target)
        try:
            with changing():
                before = _revocable(run_switch, boundary, parts.tracer)
                taken = _forward(run_switch, before, boundary, parts.tracer)
        finally:
            span.note(tries=run_switch.tries, pause_ms=run_switch.pause_ms)
    assert run_switch.pause_ms is not None
    assert run_switch.opened_at is not None
    since_lift = timedelta(seconds=time.perf_counter() - run_switch.opened_at)
    return Switched(
        capability=parts.name,
        verb=verb,
        owner=run_switch.new.side,
        epoch=run_switch.target,
        pause_ms=round(run_switch.pause_ms, 3),
        tries=run_switch.tries,
        lifted_at=(datetime.now(UTC) - since_lift).isoformat(),
        since_lift_ms=round(since_lift / timedelta(milliseconds=1), 3),
        seconds=round(time.monotonic() - started, 3),
        steps=taken,
        events_held=run_switch.events_held,
    )


def _revocable(move: Switch, boundary: Boundary, tracer: Tracer) -> list[Taken]:
    with tracer.span("make ready"):
        move.make_ready()
    try:
        with changing():
            return run(REVOCABLE, move, boundary=boundary, tracer=tracer)
    except BaseException:
        if not move.taken:
            with tracer.span("unwind"):
                unwinding.unwind(move)
        raise


def _forward(move: Switch, before: list[Taken], boundary: Boundary, tracer: Tracer) -> list[Taken]:
    try:
        taken = run(FORWARD_ONLY, move, boundary=boundary, tracer=tracer)
    except Exception as error:
        raise MoveError(
            f"the {move.new.side} owns it at epoch {move.target}, but a later step failed: {error}",
            place=move.capability,
            remedy="`strangler serve` finishes it; watch `strangler status`",
        ) from error
    unwinding.finish(move)
    assert move.opened_at is not None
    move.ledger.record(
        move.capability,
        move.verb,
        epoch=move.target,
        took_ms=move.pause_ms,
        owner=move.new.side,
        tries=move.tries,
        since_lift_ms=(time.perf_counter() - move.opened_at) * 1000,
        steps_ms={each.step: each.ms for each in [*before, *taken]},
    )
    return [*before, *taken]
