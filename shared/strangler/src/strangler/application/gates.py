"""The conditions that must hold before a switch begins; they are measured before anything pauses."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from strangler.application import standing
from strangler.application.sides import Parts
from strangler.domain.canary import TURN
from strangler.domain.errors import RefusedError
from strangler.domain.findings import Finding, Severity
from strangler.domain.move import Move, other
from strangler.domain.names import direction_from
from strangler.domain.project import MONOLITH, SERVICE, Project, Reference
from strangler.domain.words import counted
from strangler.steps.flip_routes import AGENT_SECONDS

LAG_BYTES = 16 * 1024 * 1024
LAG_SECONDS = 1.0
VERIFY_HOURS = 24
REMEDY_AGENT = "run `strangler serve`, which is part of `strangler up`, or `strangler agent` beside the gateway"
FILTERED = "take the policy or rule off the table for the time of the move, or give the rights back, and verify again"
TRANSACTION_SECONDS = 1.0
PAUSE_SECONDS = 0.05

Ready = Callable[[str], str | None]
"""Asks a side's web process whether it is ready; returns the reason if it is not."""


@dataclass(frozen=True, slots=True)
class Gate:
    """A measured condition: the question, whether it holds, and what was found.

    A switch waits for a shut gate only if the gate ``opens_by_itself``, without a person who applies the ``remedy``.
    """

    name: str
    open: bool
    found: str
    remedy: str
    opens_by_itself: bool = field(kw_only=True)

    @property
    def kind(self) -> str:
        """The name without a side or a process: all gates of a kind have one section in when-something-is-wrong.md."""
        return self.name.partition(" (")[0].split(" ")[-1]


def shut_gates(gates: Sequence[Gate], *, place: str) -> list[Finding]:
    """The gates that are shut, as findings."""
    return [
        Finding(f"gate-{gate.kind}", Severity.ERROR, place, f"gate {gate.name}: {gate.found}", gate.remedy)
        for gate in gates
        if not gate.open
    ]


class ShutError(RefusedError):
    """Gates are shut, so no switch has begun."""

    def __init__(self, gates: Sequence[Gate], *, place: str) -> None:
        shut = [gate for gate in gates if not gate.open]
        super().__init__(
            "".join(f"\n    gate {gate.name}: {gate.found}" for gate in shut).lstrip(),
            place=place,
            remedy="; ".join(dict.fromkeys(gate.remedy for gate in shut if gate.remedy)),
            id="gate-shut",
        )
        self._findings = shut_gates(gates, place=place)

    @property
    def findings(self) -> Sequence[Finding]:
        """Each of the gates."""
        return self._findings


def measure(parts: Parts, move: Move, ready: Ready) -> list[Gate]:
    """All gates of a switch away from ``move.owner``, each measured now; last come those that open by themselves."""
    return [
        _verified(move),
        _columns(parts),
        _rows(parts),
        _fences(parts, move),
        _obstacles(parts),
        _sequences(parts, move),
        _deletions(parts, move),
        *_passwords(parts),
        *_outward(parts, move),
        _agents(parts),
        *_passing(parts, move, ready),
    ]


def measure_sharing(parts: Parts, move: Move, ready: Ready) -> list[Gate]:
    """All gates of a canary: what a copy needs to answer reads, and what clients need to be told the truth there."""
    return [
        _verified(move),
        _columns(parts),
        _rows(parts),
        _fences(parts, move),
        _agents(parts),
        _weights(parts),
        _positions(parts),
        *_streams(parts, move),
        _service_ready(parts, move, ready),
    ]


def _weights(parts: Parts) -> Gate:
    """A gateway of an older version leads every read to the owner, whatever the ledger says."""
    agents = parts.ledger.agents(within=AGENT_SECONDS)
    old = sorted(agent for agent, told in agents.items() if f"{parts.name}{TURN}" not in told)
    found = f"{', '.join(old)} know nothing of weights" if old else "known to every gateway agent"
    return Gate("weights", not old, found, "update the gateway agents", opens_by_itself=False)


def _positions(parts: Parts) -> Gate:
    """Without them somebody who has written could read an older answer."""
    mute = parts.replication.mute()
    remedy = "run the present chassis on both sides, with the fence's middleware, as the role that owns the tables"
    return Gate("positions", not mute, "; ".join(mute) or "known to both sides", remedy, opens_by_itself=True)


def _passing(parts: Parts, move: Move, ready: Ready) -> list[Gate]:
    """The gates that open by themselves; all are cheap to measure."""
    return [
        *_streams(parts, move),
        *_tables(parts),
        _service_ready(parts, move, ready),
        *_events(parts, move),
    ]


def pass_all(parts: Parts, move: Move, ready: Ready, *, deadline: float) -> list[Gate]:
    """Measures until every gate is open, or a gate is shut that does not open by itself, or ``deadline``
    (``time.monotonic``) has come.

    While it waits it measures only the gates that open by themselves. When these are open it measures all of them
    again, so those that it returns were measured after the wait.

    Raises:
        RefusedError: naming the gates that stayed shut.
    """
    while True:
        gates = measure(parts, move, ready)
        shut = [gate for gate in gates if not gate.open]
        if not shut:
            return gates
        if not all(gate.opens_by_itself for gate in shut) or time.monotonic() >= deadline:
            raise ShutError(gates, place=f"{parts.name} stays with the {move.owner}")
        while time.monotonic() < deadline and not all(gate.open for gate in _passing(parts, move, ready)):
            time.sleep(PAUSE_SECONDS)


def _streams(parts: Parts, move: Move) -> list[Gate]:
    gates = []
    errors = move.facts.get("errors", {})
    for stream in parts.replication.streams():
        gone = not stream.exists or stream.lost
        gates.append(
            Gate(
                f"{stream.direction} stream",
                stream.active and stream.ready and not gone,
                "lost" if gone else "runs" if stream.active else "does not run",
                f"run `strangler resync {parts.name}`" if gone else "see the log of the subscribing server",
                opens_by_itself=True,
            )
        )
        fresh = stream.errors - errors.get(stream.direction, 0)
        gates.append(
            Gate(
                f"{stream.direction} errors",
                fresh <= 0,
                f"{counted(max(fresh, 0), 'apply error')} since the last verify",
                f"run `strangler verify {parts.name}`",
                opens_by_itself=True,
            )
        )
        if stream.direction == direction_from(move.owner):
            lag = stream.lag_seconds or 0.0
            near = (stream.lag_bytes or 0) <= LAG_BYTES and lag <= LAG_SECONDS
            found = f"{stream.lag_bytes or 0:,} bytes, {lag:.3f} s behind"
            gates.append(Gate("lag", near, found, "wait for the stream to catch up", opens_by_itself=True))
    return gates


def _verified(move: Move) -> Gate:
    remedy = f"run `strangler verify {move.capability}`"
    at = move.facts.get("verified_at")
    if at is None:
        doubt = move.facts.get(standing.UNPROVEN)
        found = f"not verified since {doubt}" if doubt else "never verified"
        return Gate("verify", False, found, remedy, opens_by_itself=False)
    if move.facts.get("differing", 0):
        repair = f"run `strangler verify {move.capability} --repair`"
        return Gate("verify", False, f"{move.facts['differing']} rows differed", repair, opens_by_itself=False)
    hours = (datetime.now(UTC) - datetime.fromisoformat(at)).total_seconds() / 3600
    return Gate("verify", hours <= VERIFY_HOURS, f"verified {hours:.1f} hours ago", remedy, opens_by_itself=False)


def _columns(parts: Parts) -> Gate:
    drift = parts.replication.drift()
    remedy = "migrate the side that is behind"
    return Gate("columns", not drift, "; ".join(drift) or "equal", remedy, opens_by_itself=False)


def _fences(parts: Parts, move: Move) -> Gate:
    found = standing.look(parts, move)
    told = "; ".join(map(str, found)) or "as they should be"
    return Gate("fences", not found, told, standing.remedies(found), opens_by_itself=False)


def _obstacles(parts: Parts) -> Gate:
    """Things that `start` would have refused, and that have been made since."""
    found = parts.replication.obstacles()
    told = "; ".join(found) or "as they were"
    return Gate("surroundings", not found, told, "see what is said of each", opens_by_itself=False)


def _sequences(parts: Parts, move: Move) -> Gate:
    found = parts.replication.misnumbered(move.owner)
    remedy = f"make the sequences of the {other(move.owner)} able to go on, or name those that belong nowhere"
    return Gate("sequences", not found, "; ".join(found) or "can go on", remedy, opens_by_itself=False)


def _rows(parts: Parts) -> Gate:
    """A proof covers only the rows that it has compared."""
    found = parts.replication.filters()
    return Gate("rows", not found, "; ".join(found) or "all seen", FILTERED, opens_by_itself=False)


def _deletions(parts: Parts, move: Move) -> Gate:
    """A deletion in the monolith also deletes, or clears the references of, the rows that refer to the deleted row.
    Where a service owns those rows, the deletion is sent there, if the applications of both sides can do that;
    otherwise the fence would refuse it, and with it the whole deletion."""
    owners = {each.capability: each.owner for each in parts.ledger.moves()} | {parts.name: other(move.owner)}
    sent: dict[str, list[tuple[str, str]]] = {}
    for parent, child, reference in _referring(parts.project):
        apart = owners.get(parent, MONOLITH) == MONOLITH and owners.get(child) == SERVICE
        if apart and parts.name in (parent, child):
            sent.setdefault(child, []).append((f"{reference.table}.{reference.column}", parent))
    if move.owner == MONOLITH and (stays := parts.replication.cascades()):
        sent.setdefault(parts.name, []).extend(stays)
    shut, remedies = [], ["run the present chassis on both sides, so that deletions are sent to the service"]
    for child, pairs in sent.items():
        if deaf := parts.replication.deaf(child):
            shut += [f"{column} would be the service's, and {parent} the monolith's" for column, parent in pairs]
            shut += deaf
            remedies += _orders(parts, child, pairs)
    remedies.append("or set deletes = false for the references or parents if nothing is deleted meanwhile")
    told = "; ".join(shut) or "reach what refers to them"
    if sent and not shut:
        parents = ", ".join(dict.fromkeys(parent for pairs in sent.values() for _, parent in pairs))
        told = f"those of {parents} are sent to the service"
    return Gate("deletions", not shut, told, ", ".join(dict.fromkeys(remedies)), opens_by_itself=False)


def _orders(parts: Parts, child: str, pairs: Sequence[tuple[str, str]]) -> list[str]:
    """In which order to move instead, so that nothing has to be sent."""
    if child != parts.name:
        return [f"or reverse {child} first"]
    return [f"or move {parent} first" for _, parent in pairs if parent in parts.project.capabilities]


def _passwords(parts: Parts) -> Sequence[Gate]:
    """Both applications have to read what either writes, or nobody could log in; and they have to write the same, or
    each login would hash a password anew."""
    told = parts.replication.passwords()
    if len(told) < len((MONOLITH, SERVICE)):
        return []
    shut = [
        f"the {side} cannot read {told[other(side)].algorithm}, with which the {other(side)} hashes passwords: who has "
        "such a hash could not log in there"
        for side in told
        if told[other(side)].algorithm not in told[side].reads
    ]
    if not shut and told[MONOLITH].writes != told[SERVICE].writes:
        shut = [f"the monolith hashes passwords with {told[MONOLITH].writes}, the service with {told[SERVICE].writes}"]
    remedy = "install the same packages, and set the same PASSWORD_HASHER and PASSWORD_ITERATIONS, on both sides"
    return [Gate("passwords", not shut, "; ".join(shut) or told[MONOLITH].writes, remedy, opens_by_itself=False)]


def _outward(parts: Parts, move: Move) -> Sequence[Gate]:
    """What `start` would have refused for the service's sake. The way back is not shut by it."""
    if move.owner != MONOLITH:
        return []
    found = [one for one in parts.replication.outward() if one.severity is Severity.ERROR]
    told = "; ".join(f"{one.id}: {one.message}" for one in found) or "as the rows need it"
    remedy = "; ".join(dict.fromkeys(one.remedy for one in found))
    return [Gate("outward", not found, told, remedy, opens_by_itself=False)]


def _referring(project: Project) -> Iterator[tuple[str, str, Reference]]:
    """Each foreign key between two capabilities over which deletions spread: first the capability whose rows it points
    at, then the capability that has the key."""
    holders = {table: capability.name for capability in project.capabilities.values() for table in capability.tables}
    for parent in project.capabilities.values():
        for reference in parent.references:
            if reference.deletes and reference.table in holders:
                yield parent.name, holders[reference.table], reference


def _tables(parts: Parts) -> Sequence[Gate]:
    gates = []
    for name, side in parts.sides.items():
        vacuums = side.vacuums()
        found = f"vacuum of {', '.join(vacuums)}" if vacuums else "none"
        gates.append(Gate(f"vacuum ({name})", not vacuums, found, "wait for the vacuum to end", opens_by_itself=True))
        old = [blocker for blocker in side.blockers() if blocker.seconds > TRANSACTION_SECONDS]
        gates.append(
            Gate(
                f"transactions ({name})",
                not old,
                "".join(f"\n        held by {blocker}" for blocker in old) or "none long",
                "end that transaction, or give more time with --timeout",
                opens_by_itself=True,
            )
        )
    return gates


def _service_ready(parts: Parts, move: Move, ready: Ready) -> Gate:
    process = parts.capability.process if move.owner == "monolith" else parts.project.monolith
    reason = ready(process)
    remedy = f"see the log of {process}"
    return Gate(f"{process} ready", reason is None, reason or "ready", remedy, opens_by_itself=True)


def _agents(parts: Parts) -> Gate:
    agents = parts.ledger.agents(within=AGENT_SECONDS)
    found = f"{len(agents)} seen" if agents else "no gateway agent has been seen lately"
    return Gate("gateway", bool(agents), found, REMEDY_AGENT, opens_by_itself=False)


def _events(parts: Parts, move: Move) -> Sequence[Gate]:
    """Shut while events of an earlier owner have not been sent: the present owner's events wait for those, and the next
    owner's events would wait for both.
    """
    row = parts.sides[move.owner].row()
    if not parts.sides[move.owner].has_outbox:
        return []
    held = row is not None and row.events_held
    former = other(move.owner)
    return [
        Gate(
            "events",
            not held,
            f"held until the {former} has sent its own" if held else "none held",
            f"see that the relay of the {former} runs",
            opens_by_itself=True,
        )
    ]
