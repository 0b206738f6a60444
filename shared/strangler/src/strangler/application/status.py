"""``status``: what the ledger says and what the servers show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from strangler.application import standing
from strangler.application.sides import Parts
from strangler.domain import canary
from strangler.domain.errors import StranglerError
from strangler.domain.move import Move
from strangler.domain.phase import RETIRED, State
from strangler.domain.project import MONOLITH, SERVICE
from strangler.ports.side import Side
from strangler.steps.flip_routes import AGENT_SECONDS


@dataclass(slots=True)
class Status:
    """One capability; ``phase`` is observed, ``next`` names the verbs that can follow."""

    capability: str
    phase: str
    owner: str
    epoch: int
    step: str | None = None
    streams: list[dict[str, Any]] = field(default_factory=list)
    sides: dict[str, dict[str, Any]] = field(default_factory=dict)
    verified: dict[str, Any] = field(default_factory=dict)
    gateway: Mapping[str, int] = field(default_factory=dict)
    orphans: dict[str, int] = field(default_factory=dict)
    events: dict[str, Any] = field(default_factory=dict)
    canary: dict[str, Any] = field(default_factory=dict)
    routes: list[str] = field(default_factory=list)
    next: list[str] = field(default_factory=list)
    deviations: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def status(parts: Parts) -> Status:
    """Looks at one capability; a server that is away is a problem of the answer, not an error."""
    move = parts.ledger.move(parts.name)
    if move is None:
        agents = _agents(parts) if parts.ledger.exists() else {}
        return Status(parts.name, "not started", MONOLITH, 0, gateway=agents, routes=_routes(parts), next=["start"])
    found = Status(parts.name, move.state.value, move.owner, move.epoch, step=move.step, routes=_routes(parts))
    if move.facts.get("verified_at"):
        keys = ("verified_at", "verified_rows", "differing")
        found.verified = {key: move.facts[key] for key in keys if key in move.facts}
    found.gateway = _agents(parts)
    shared = canary.of(move)
    found.canary = {"weight": shared.weight, "on": shared.on}
    _observe(parts, found)
    _compare(parts, move, found)
    found.phase = _phase(move.state, found)
    found.next = _next(move.state, move.owner, found)
    if move.state is State.COMPLETED and not found.problems:
        if move.facts.get(RETIRED):
            found.phase, found.next = "retired", []
        elif parts.replication.dropped():
            found.next = []
        elif not parts.replication.seams():
            found.next.append("complete --drop")
    return found


def _observe(parts: Parts, found: Status) -> None:
    for name, side in parts.sides.items():
        try:
            row = side.row()
        except StranglerError as error:
            found.problems.append(f"{name}: {error.message}")
            continue
        if row is not None:
            found.sides[name] = {
                "open": row.open,
                "epoch": row.epoch,
                "bounce_to": row.bounce_to,
                "events_held": row.events_held,
            }
        _observe_outbox(side, found)
    try:
        found.streams = [asdict(stream) for stream in parts.replication.streams()]
        found.orphans = parts.replication.orphans()
    except StranglerError as error:
        found.problems.append(error.message)
    for stream in found.streams:
        # While rows are copied the slot of the forward stream waits for its reader.
        waits = found.phase == State.STARTING and not stream["lost"]
        if stream["exists"] and not waits and (stream["lost"] or not stream["active"]):
            found.problems.append(f"the {stream['direction']} stream {'is lost' if stream['lost'] else 'does not run'}")
    open_sides = [name for name, row in found.sides.items() if row["open"]]
    if len(found.sides) == 2 and len(open_sides) != 1 and found.phase not in {State.SWITCHING, State.SETTLING}:
        found.problems.append("two owners" if open_sides else "no owner")


def _compare(parts: Parts, move: Move, found: Status) -> None:
    try:
        found.deviations = [str(each) for each in standing.look(parts, move)]
    except StranglerError as error:
        if not any(error.message in each for each in found.problems):
            found.problems.append(error.message)
    found.problems += found.deviations


def _observe_outbox(side: Side, found: Status) -> None:
    """Only if there is an outbox; events that wait on the side that is not the owner keep the owner's events
    waiting."""
    if not side.has_outbox:
        return
    row = found.sides.get(side.side, {})
    found.events["held"] = bool(found.events.get("held") or row.get("events_held"))
    try:
        found.events.setdefault("backlog", {})[side.side] = side.backlog()
    except StranglerError as error:
        found.problems.append(f"{side.side}: {error.message}")


def _phase(state: State, found: Status) -> str:
    if state is not State.MOVING:
        return state.value
    if found.problems:
        return "moving, with problems"
    if not found.verified or found.verified.get("differing"):
        return "streaming"
    return "switched" if found.owner == SERVICE else "verified"


def _next(state: State, owner: str, found: Status) -> list[str]:
    if state is State.STARTING:
        return ["start", "cancel"]
    if state is State.CANCELLING:
        return ["cancel"]
    if state is State.COMPLETED:
        return ["verify"]
    if state is not State.MOVING:
        return []
    ready = bool(found.verified) and not found.verified.get("differing")
    if owner == SERVICE:
        return ["verify", *(["reverse"] if ready else []), "complete"]
    return ["verify", *(["switch"] if ready else []), "cancel"]


def _agents(parts: Parts) -> dict[str, int]:
    return {agent: epochs.get(parts.name, 0) for agent, epochs in parts.ledger.agents(within=AGENT_SECONDS).items()}


def _routes(parts: Parts) -> list[str]:
    return [str(route) for route in parts.capability.routes]
