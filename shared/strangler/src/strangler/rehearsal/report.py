"""The report of a rehearsal: one judgement, its figures, and the reasons if it is not good."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from strangler.domain.words import counted
from strangler.rehearsal.checker import Fault, Finding
from strangler.rehearsal.conduct import Change
from strangler.rehearsal.journal import Attempt, Outcome, Records
from strangler.rehearsal.pauses import acknowledgements, all_served, longest_gap_ms
from strangler.rehearsal.selftest import SelfTest

EXCERPT = 120  # characters of a failure's detail
_IDENTIFIER = re.compile(r"\b(?:[0-9a-f]{8}-[0-9a-f-]{27}|\d+)\b")
LISTED_ENTRIES = 200  # entries of a list in the details
COLUMNS = {
    "tries": "tries",
    "pause_ms": "pause ms",
    "floor_ms": "floor ms",
    "client_pause_ms": "client pause ms",
    "quiet_gap_ms": "without ms",
    "bounced": "bounced",
    "rows": "rows",
    "copy_rows_per_s": "rows/s",
    "verified_rows": "verified",
    "verify_rows_per_s": "rows/s",
    "differing": "differing",
}


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that was found. ``moving`` are the capabilities that the script moves, ``problems`` are things
    that went wrong on the way."""

    seconds: float
    requests: int
    records: Records
    findings: Sequence[Finding]
    changes: Sequence[Change]
    moving: Sequence[str]
    differing: Mapping[str, int]
    owners: Mapping[str, str]
    broker: str
    monolith: str
    self_test: SelfTest
    problems: Sequence[str]
    wanted_writes: int


def acknowledged(attempts: Sequence[Attempt], moving: Sequence[str] | None = None) -> int:
    """How many requests with a write were acknowledged, of the capabilities ``moving`` or of all."""
    return sum(
        attempt.outcome is Outcome.ACKNOWLEDGED
        and (moving is None or any(write.capability in moving for write in attempt.writes))
        for attempt in attempts
    )


def problems(evidence: Evidence) -> list[str]:
    """Every reason for which the rehearsal fails; none if it proved the promise."""
    reasons = list(evidence.problems)
    faults = _faults(evidence.findings)
    if evidence.records.failures:
        reasons.append(f"{counted(len(evidence.records.failures), 'request')} failed")
    reasons += [f"{counted(count, 'write')} {fault}" for fault, count in faults.items() if count]
    reasons += [f"{name}: {counted(count, 'differing row')}" for name, count in evidence.differing.items() if count]
    reasons += [
        f"{change.verb} {change.capability} proved nothing: no request met the fence"
        for change in evidence.changes
        if change.bounced == 0
    ]
    writes = acknowledged(evidence.records.attempts, evidence.moving)
    if evidence.moving and writes < evidence.wanted_writes:
        reasons.append(f"proved too little: {writes} of {evidence.wanted_writes} writes to what moved")
    if not evidence.self_test.passed:
        reasons.append(f"the checker's self-test failed: {evidence.self_test}")
    return reasons


def report(evidence: Evidence) -> dict[str, Any]:
    """The content of ``report.json``."""
    faults = _faults(evidence.findings)
    return {
        "ok": not problems(evidence),
        "seconds": round(evidence.seconds, 1),
        "requests": evidence.requests,
        "failed": len(evidence.records.failures),
        "acknowledged_writes": acknowledged(evidence.records.attempts),
        "lost": faults[Fault.LOST],
        "doubled": faults[Fault.DOUBLED],
        "broker": evidence.broker,
        "moves": [_move(change, evidence.records.attempts) for change in evidence.changes],
        "owners": dict(evidence.owners),
        "monolith": evidence.monolith,
    }


def details(evidence: Evidence) -> dict[str, Any]:
    """What a person needs to follow up a report that is not ok."""
    return {
        "problems": problems(evidence),
        "acknowledged_writes_to_what_moved": acknowledged(evidence.records.attempts, evidence.moving),
        "failed": [asdict(failure) for failure in evidence.records.failures[:LISTED_ENTRIES]],
        "lost": _listed(evidence.findings, Fault.LOST),
        "doubled": _listed(evidence.findings, Fault.DOUBLED),
        "attempts": [change.attempts for change in evidence.changes],
        "self_test": asdict(evidence.self_test),
    }


def grouped(records: Records) -> list[str]:
    """The failures that look the same in one line each, the most frequent first: how many, of what, and the first
    detail."""
    groups: dict[tuple[str, str], list[str]] = {}
    for failure in records.failures:
        path = _IDENTIFIER.sub("{}", failure.request.partition("?")[0])
        reason = " ".join(failure.detail.split())[:EXCERPT]
        groups.setdefault((path, _IDENTIFIER.sub("{}", reason)), []).append(reason)
    ranked = sorted(groups.items(), key=lambda group: -len(group[1]))
    return [f"{len(reasons):,} × {path}: {reasons[0]}" for (path, _), reasons in ranked]


def table(content: Mapping[str, Any]) -> str:
    """A report as a person reads it."""
    counts = ("requests", "failed", "acknowledged_writes", "lost", "doubled")
    figures = ", ".join(f"{content[name]:,} {name.replace('_', ' ')}" for name in counts)
    owners = ", ".join(f"{name}: {side}" for name, side in content["owners"].items())
    verdict = "ok: no acknowledged write was lost or doubled, and no request failed"
    return "\n".join(
        [
            *_moves_table(content["moves"]),
            figures,
            f"owners: {owners}; monolith {content['monolith']}; broker {content['broker']}; {content['seconds']} s",
            verdict if content["ok"] else "NOT OK",
        ]
    )


def _moves_table(moves: Sequence[Mapping[str, Any]]) -> list[str]:
    if not moves:
        return []
    lines = [["move", *COLUMNS.values()]]
    for move in moves:
        figures = ["-" if move[name] is None else f"{move[name]:,}" for name in COLUMNS]
        lines.append([f"{move['verb']} {move['capability']}", *figures])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) for line in lines]


def _move(change: Change, attempts: Sequence[Attempt]) -> dict[str, Any]:
    writes = acknowledgements(attempts, change.capability)
    times = [one.answered_at for one in writes]
    ended = all_served(writes, change.lifted)
    gap = longest_gap_ms(times, change.shut, ended)
    quiet = longest_gap_ms(times, change.quiet_from, change.quiet_from + ended - change.shut)
    return {
        "capability": change.capability,
        "verb": change.verb,
        "tries": change.tries,
        "pause_ms": round(change.pause_ms, 1),
        "floor_ms": None if change.floor_ms is None else round(change.floor_ms, 1),
        "client_pause_ms": None if gap is None else round(gap, 1),
        "quiet_gap_ms": None if quiet is None else round(quiet, 1),
        "rows": change.copied.get("rows", 0),
        "copy_rows_per_s": round(change.copied.get("copy_rows_per_s", 0)),
        "verified_rows": change.verified.get("verified_rows", 0),
        "verify_rows_per_s": round(change.verified.get("verify_rows_per_s", 0)),
        "differing": change.verified.get("differing", 0),
        "bounced": change.bounced,
    }


def _faults(findings: Sequence[Finding]) -> dict[Fault, int]:
    return {fault: sum(finding.fault is fault for finding in findings) for fault in Fault}


def _listed(findings: Sequence[Finding], fault: Fault) -> list[dict[str, Any]]:
    return [
        {
            "row": str(finding.place),
            "expected": finding.expected,
            "found": list(finding.found),
            "requests": list(finding.requests),
        }
        for finding in findings
        if finding.fault is fault
    ][:LISTED_ENTRIES]
