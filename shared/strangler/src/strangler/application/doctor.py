"""``doctor``: leavings, and everything else that should not be as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from strangler.application import standing
from strangler.application.gates import FILTERED
from strangler.application.sides import Parts
from strangler.domain.errors import ConfigurationError
from strangler.domain.findings import Severity
from strangler.domain.move import Move, other
from strangler.domain.phase import RETIRED, State
from strangler.ports.examination import Examination, Stray

HELD_SECONDS = 60.0
LEFT = "no move knows it: see whose it is (a copied database has what the first one had), and remove it by hand"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: a short id, where, what, and what to do."""

    id: str
    place: str
    message: str
    hint: str


def examine(all_parts: Sequence[Parts], examination: Examination) -> list[Finding]:
    """Looks at every capability and every database; changes nothing."""
    findings: list[Finding] = []
    known: set[str] = set()
    for parts in all_parts:
        move = parts.ledger.move(parts.name)
        if move is None:
            continue
        known.add(parts.name)
        findings += _owners(parts)
        findings += _events(parts, move)
        findings += [_stray(parts.name, stray) for stray in examination.strays(parts.name)]
        findings += [Finding("standing", parts.name, str(one), one.remedy) for one in standing.look(parts, move)]
        if passed := move.facts.get(standing.PASSED_OVER):
            findings.append(Finding("unproven", parts.name, passed, f"run `strangler verify {parts.name} --repair`"))
        if move.state in {State.MOVING, State.COMPLETED}:
            copy = _copy(parts, move)
            findings += copy
            # Rows that a policy hides have no highest number, and asking for it fails.
            if not any(finding.id == "filtered" for finding in copy):
                findings += [
                    Finding("sequence", parts.name, one, remedy)
                    for one, remedy in examination.sequences_behind(parts.name, move.owner)
                ]
    for place, name in examination.leavings(known):
        findings.append(Finding("leaving", place, name, LEFT))
    for place, message in examination.retained():
        findings.append(Finding("wal", place, message, "see why its consumer does not run, or cancel the move"))
    for table in examination.unplaced():
        findings.append(
            Finding(
                "unplaced", table, "no capability has it and it is not listed as staying", "name it in strangler.toml"
            )
        )
    return findings


def _owners(parts: Parts) -> list[Finding]:
    rows = {name: side.row() for name, side in parts.sides.items()}
    opened = [name for name, row in rows.items() if row is not None and row.open]
    if len(opened) == 1 or not any(rows.values()):
        return []
    message = f"open on both sides: {', '.join(opened)}" if opened else "open on no side"
    return [Finding("owner", parts.name, message, "run `strangler serve`: it lifts the one that the ledger names")]


def _events(parts: Parts, move: Move) -> list[Finding]:
    row = parts.sides[move.owner].row()
    since = (datetime.now(UTC) - move.changed_at).total_seconds() if move.changed_at else 0.0
    if row is None or not row.events_held or since < HELD_SECONDS:
        return []
    former = other(move.owner)
    message = f"the {move.owner}'s are held, for the outbox of the {former} is not empty ({since:.0f} s)"
    return [Finding("events", parts.name, message, f"see that the relay of the {former} runs, and what it reports")]


def _stray(capability: str, stray: Stray) -> Finding:
    return Finding(
        "write-from-a-staying-route",
        capability,
        f"{stray.method} {stray.route} wrote a table of {capability} in the database {stray.place}, where the other "
        f"side owned it: answered with 501, {stray.times} times, "
        f"last at {stray.seen_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC",
        "let the view ask the owner instead of writing there, or give its route to the capability",
    )


def _copy(parts: Parts, move: Move) -> list[Finding]:
    completed = move.state is State.COMPLETED
    if completed and (move.facts.get(RETIRED) or parts.replication.dropped()):
        return []
    try:
        drift = parts.replication.drift()
    except ConfigurationError as error:
        return [Finding("drift", error.place, error.message, error.remedy)]
    filters = parts.replication.filters()
    return [
        *(Finding("drift", parts.name, one, "migrate the side that is behind") for one in drift),
        *_obstacles(parts),
        *(Finding("filtered", parts.name, one, FILTERED) for one in filters),
        *_streams(parts, completed=completed),
        # What it asks of the rows would fail where a policy hides them.
        *([] if filters else _outward(parts)),
    ]


def _obstacles(parts: Parts) -> list[Finding]:
    hint = "no switch is done before"
    return [Finding("surroundings", parts.name, one, hint) for one in parts.replication.obstacles()]


def _outward(parts: Parts) -> list[Finding]:
    """What `start` would have refused and the gate `outward` keeps from a switch; the service may own already."""
    found = [one for one in parts.replication.outward() if one.severity is Severity.ERROR]
    return [Finding(one.id, one.place, one.message, one.remedy) for one in found]


def _streams(parts: Parts, *, completed: bool) -> list[Finding]:
    findings = []
    for stream in parts.replication.streams():
        if completed and stream.direction == "forward":
            continue
        if not stream.exists or stream.lost:
            findings.append(
                Finding(
                    "stream",
                    parts.name,
                    f"the {stream.direction} stream is lost",
                    f"run `strangler resync {parts.name}`",
                )
            )
        elif not stream.active:
            findings.append(
                Finding("stream", parts.name, f"the {stream.direction} stream does not run", "see the subscriber's log")
            )
    return findings
