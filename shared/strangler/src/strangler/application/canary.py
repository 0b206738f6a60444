"""``canary``: a share of the reads goes to the copy, and no client reads an older answer there than before.

Note "before the first read": a client may have written just before the answers began to bear positions. So the copy
answers nobody until it has shown that all is there which was committed before every answer bore one. A request that
began earlier, and ends later than `SETTLE_SECONDS`, looks again before it ends (`chassis.ownership.positions`).

Note "the copy first": when a canary ends, the copy is told first that it answers no read any more, and then the owner
that its answers need no positions. A gateway that has heard of neither still sends reads to the copy, which leads them
to the owner.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from strangler.application.gates import Gate, Ready, ShutError, measure_sharing
from strangler.application.recovery import recover, require_nobody_at_work
from strangler.application.sides import Parts
from strangler.application.tracing import traced
from strangler.domain import canary
from strangler.domain.canary import FACT, TURN, Canary
from strangler.domain.errors import MoveError, RefusedError, changing
from strangler.domain.move import Move
from strangler.domain.phase import NEXT, State
from strangler.domain.project import MONOLITH
from strangler.ports.side import Side
from strangler.steps.flip_routes import AGENT_SECONDS

SETTLE_SECONDS = 0.25  # longer than a request may take before it looks again
HEARD_SECONDS = 10.0
LIVE_SECONDS = 10.0
POLL_SECONDS = 0.005


@dataclass(frozen=True, slots=True)
class Shared:
    """What has become of a canary: the share of the reads in percent, now and ``before``.

    ``live_ms``: the milliseconds from the decision, which is in the ledger, until the last of the gateways' ``agents``
    had said that it routes so. None: not all of them have said so in time; they follow by themselves.
    """

    capability: str
    weight: int
    before: int
    epoch: int
    agents: int
    live_ms: float | None


def plan(parts: Parts, weight: int, ready: Ready) -> tuple[Canary, list[Gate]]:
    """The canary as it is, and the gates as they are now; none where nothing is to go to the copy. Changes nothing.

    Raises:
        RefusedError: there is no copy beside an owner, or another command is at work.
    """
    move = _shareable(parts)
    return canary.of(move), measure_sharing(parts, move, ready) if weight else []


def share(parts: Parts, weight: int, *, ready: Ready) -> Shared:
    """Sends ``weight`` percent of the reads to the copy, from 0 to 100.

    Raises:
        RefusedError: see `plan`; or a gate is shut, and nothing was changed.
        MoveError: the copy has not shown in time that it hears the heartbeat; nothing is shared.
    """
    with traced(parts, "canary") as span, parts.ledger.coordinating(parts.name):
        recover(parts)
        move = _shareable(parts)
        span.note(epoch=move.epoch)
        before = canary.of(move)
        if weight:
            _pass(parts, move, ready)
            parts.ledger.install()
            parts.replication.install()
        with changing():
            if weight and not before.on:
                _begin(parts, move)
            return _turn(parts, move, before, weight)


def look_after(parts: Parts, move: Move) -> list[str]:
    """Ends what an interrupted command has left, and a canary whose copy is not proven any more; returns what was done.

    The caller holds the move's lock, and has recovered the move.
    """
    present = canary.of(move)
    if present.on and not move.facts.get("verified_at"):
        end(parts, move)
        return ["ended the canary: the last verify no longer counts"]
    if present.on and not present.weight:
        end(parts, move)
        return ["ended a canary that had not begun"]
    if not present.on and _are_told(parts):
        _take_back(parts, move)
        return ["took back what the sides had been told of a canary"]
    return []


def end(parts: Parts, move: Move) -> None:
    """The owner answers all reads again; does nothing where there is no canary. The caller holds the move's lock."""
    before = canary.of(move)
    if before.on or before.weight:
        _turn(parts, move, before, 0)


def _shareable(parts: Parts) -> Move:
    move = parts.ledger.move(parts.name)
    require_nobody_at_work(parts, move)
    state = move.state if move else None
    if move is None or state is not State.MOVING:
        raise RefusedError(
            "there is no copy beside an owner, so there is nothing to share",
            place=parts.name,
            remedy=NEXT[state].format(capability=parts.name),
            id="move-state",
        )
    if move.owner != MONOLITH:
        raise RefusedError(
            f"the {move.owner} owns it, and answers all of its reads",
            place=parts.name,
            remedy=f"nothing is to be done; `strangler reverse {parts.name}` would make the monolith the owner again",
            id="other-owner",
        )
    return move


def _pass(parts: Parts, move: Move, ready: Ready) -> None:
    gates = measure_sharing(parts, move, ready)
    if not all(gate.open for gate in gates):
        raise ShutError(gates, place=f"{parts.name} is read as before")


def _begin(parts: Parts, move: Move) -> None:
    """See the note "before the first read"."""
    rules = parts.project.sharing
    terms = {
        "epoch": move.epoch,
        "max_lag": rules.max_lag_ms / 1000,
        "wait": rules.wait_ms / 1000,
        "trusting": not rules.strict,
    }
    try:
        for side in (parts.monolith, parts.service):
            _tell(parts, side, terms, move)
        time.sleep(SETTLE_SECONDS)
        _learn(parts, move, Canary(0, on=True, turn=canary.of(move).turn))
        _await_heartbeat(parts, move)
    except BaseException:
        _learn(parts, move, Canary(turn=canary.of(move).turn))
        _take_back(parts, move)
        raise


def _tell(parts: Parts, side: Side, terms: Mapping[str, object], move: Move) -> None:
    if not side.share_reads(terms, epoch=move.epoch):
        raise MoveError(
            f"the {side.side} is at another epoch",
            place=parts.name,
            remedy=f"see `strangler status {parts.name}`, and run the command again",
        )


def _await_heartbeat(parts: Parts, move: Move) -> None:
    wanted = parts.monolith.position(move.epoch)
    deadline = time.monotonic() + HEARD_SECONDS
    while True:
        heard = parts.service.heard(move.epoch)
        if heard is not None and heard[0].covers(wanted):
            return
        if time.monotonic() >= deadline:
            raise MoveError(
                f"the copy has not heard within {HEARD_SECONDS:g} s how far it has come",
                place=parts.name,
                remedy="see that `strangler serve` runs, which sends the heartbeat, and that the stream does",
                id="no-heartbeat",
            )
        time.sleep(POLL_SECONDS)


def _turn(parts: Parts, move: Move, before: Canary, weight: int) -> Shared:
    turned = Canary(weight, on=weight > 0, turn=before.turn + 1)
    _learn(parts, move, turned)
    decided = time.monotonic()
    agents, live = _await_live(parts, move.epoch, turned.turn)
    live_ms = round((time.monotonic() - decided) * 1000, 3) if live else None
    if not weight:
        _take_back(parts, move)
    parts.ledger.record(
        parts.name, "canary", epoch=move.epoch, took_ms=live_ms, weight=weight, before=before.weight, agents=agents
    )
    return Shared(parts.name, weight, before.weight, move.epoch, agents, live_ms)


def _await_live(parts: Parts, epoch: int, turn: int) -> tuple[int, bool]:
    deadline = time.monotonic() + LIVE_SECONDS
    while True:
        agents = parts.ledger.agents(within=AGENT_SECONDS)
        # An agent of an older version leads every read to the owner.
        behind = [
            told
            for told in agents.values()
            if told.get(parts.name, 0) < epoch or told.get(f"{parts.name}{TURN}", turn) < turn
        ]
        if agents and not behind:
            return len(agents), True
        if not agents or time.monotonic() >= deadline:
            return len(agents), False
        time.sleep(POLL_SECONDS)


def _learn(parts: Parts, move: Move, present: Canary) -> None:
    parts.ledger.learn(parts.name, **{FACT: present.fact(move.epoch)})


def _are_told(parts: Parts) -> bool:
    return any(row.reads for side in parts.sides.values() if (row := side.row()) is not None)


def _take_back(parts: Parts, move: Move) -> None:
    """See the note "the copy first"."""
    for side in (parts.service, parts.monolith):
        side.share_reads(None, epoch=move.epoch)
