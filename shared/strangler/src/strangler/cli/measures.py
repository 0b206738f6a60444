"""What `strangler serve` measures of each move.

Only the process that has the lease measures; what another one has measured in an earlier shift is soon wrong, so it is
forgotten.

Note "from the history": a switch is a process that ends, so nobody could ask it how long its pause was. It writes that
into the ledger's history. The histograms are made of the whole history, so they go on where they were when `serve` is
started again or another one takes over.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from prometheus_client import REGISTRY, Counter, Gauge
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from strangler.application.status import Status
from strangler.domain.move import Entry
from strangler.domain.project import MONOLITH, SERVICE
from strangler.ports.ledger import Ledger

PHASES = (
    "not started", "starting", "streaming", "verified", "switching", "settling", "switched", "moving, with problems",
    "completed", "retired", "cancelling",
)  # fmt: skip
VERBS = ("switch", "reverse")
ABORTED = " aborted"
RECOVERED_BY_SERVE = "switch finished by recovery"
# A switch that does not succeed within four seconds is given up.
PAUSE_BUCKETS_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)

LEASE = Gauge("strangler_lease_held", "1 where this process is the one that works; the others measure nothing.")
RECOVERED = Counter("strangler_recovered_total", "What recovery has put right.", ["capability"])
MEASURED = Gauge("strangler_measured_timestamp_seconds", "When the move was last looked at.", ["capability"])
PHASE = Gauge("strangler_move_phase", "1 for the phase that the move is in, 0 for the others.", ["capability", "phase"])
OWNER = Gauge("strangler_owner", "1 for the side that owns the capability, 0 for the other.", ["capability", "side"])
SERVICE_OWNS = Gauge("strangler_service_owns", "1 where the service owns the capability.", ["capability"])
EPOCH = Gauge("strangler_epoch", "The capability's epoch.", ["capability"])
PROBLEMS = Gauge("strangler_problems", "What `strangler status` calls a problem of the move.", ["capability"])
DEVIATIONS = Gauge("strangler_deviations", "What is not as the move has left it; doctor names it.", ["capability"])
RUNNING = Gauge(
    "strangler_stream_running", "1 where the stream runs, 0 where it has stopped.", ["capability", "direction"]
)
LOST = Gauge(
    "strangler_stream_lost", "1 where the stream has lost WAL and has to be made anew.", ["capability", "direction"]
)
LAG_BYTES = Gauge("strangler_lag_bytes", "WAL that the receiver has not confirmed.", ["capability", "direction"])
LAG_SECONDS = Gauge(
    "strangler_lag_seconds",
    "Time from a change's flush at the sender to its replay at the receiver; absent where the stream stands still.",
    ["capability", "direction"],
)
RETAINED = Gauge("strangler_slot_retained_bytes", "WAL that the stream's slot keeps.", ["capability", "direction"])
ERRORS = Gauge(
    "strangler_apply_errors", "Errors of the apply worker since its statistics began.", ["capability", "direction"]
)
VERIFIED = Gauge("strangler_verified_timestamp_seconds", "When the last verify ended.", ["capability"])
VERIFIED_ROWS = Gauge("strangler_verified_rows", "Rows that the last verify compared.", ["capability"])
DIFFERING = Gauge("strangler_differing_rows", "Rows that differed at the end of the last verify.", ["capability"])
ORPHANS = Gauge("strangler_orphans", "Deletions whose clean-up is due, or done.", ["capability", "state"])
OUTBOX = Gauge(
    "strangler_outbox_rows", "Messages of the capability that wait in a side's outbox.", ["capability", "side"]
)
EVENTS_HELD = Gauge(
    "strangler_events_held", "1 where the owner's events wait for those of the former owner.", ["capability"]
)
AGENTS = Gauge(
    "strangler_gateway_agents",
    "Gateways by whether their routes are of the capability's epoch.",
    ["capability", "state"],
)
ARCHIVED = Gauge(
    "strangler_ledger_archived_timestamp_seconds",
    "When the ledger's server last archived WAL; absent without an archive, and says nothing of other backups.",
    ["capability"],
)

Reading = tuple[Gauge, tuple[str, ...], float]
_shown: dict[str, set[tuple[Gauge, tuple[str, ...]]]] = {}


def show(found: Status, archived: datetime | None = None) -> None:
    """Shows what one look at a move has found, and nothing that an earlier look had found and this one has not."""
    before, now = _shown.get(found.capability, set()), set()
    for gauge, labels, value in _readings(found, archived):
        gauge.labels(*labels).set(value)
        now.add((gauge, labels))
    _shown[found.capability] = now
    _remove(before - now)


def read_history(name: str, ledger: Ledger) -> None:
    """Takes in what was recorded since the last call; raises the ledger's errors."""
    while entries := ledger.history(name, after=HISTORY.last(name)):
        HISTORY.take(name, entries)


def forget(name: str) -> None:
    """Shows nothing of the move any more: another process measures it."""
    _remove(_shown.pop(name, set()))
    HISTORY.forget(name)


def _remove(readings: set[tuple[Gauge, tuple[str, ...]]]) -> None:
    for gauge, labels in readings:
        gauge.remove(*labels)


def _readings(found: Status, archived: datetime | None) -> Iterator[Reading]:
    name = found.capability
    yield MEASURED, (name,), time.time()
    for phase in PHASES:
        yield PHASE, (name, phase), found.phase == phase
    for side in (MONOLITH, SERVICE):
        yield OWNER, (name, side), found.owner == side
    yield SERVICE_OWNS, (name,), found.owner == SERVICE
    yield EPOCH, (name,), found.epoch
    yield PROBLEMS, (name,), len(found.problems)
    yield DEVIATIONS, (name,), len(found.deviations)
    for stream in found.streams:
        if stream["exists"]:
            yield from _of_stream(name, stream)
    yield from _of_verify(name, found.verified)
    for what, count in found.orphans.items():
        yield ORPHANS, (name, what), count
    for side, rows in found.events.get("backlog", {}).items():
        yield OUTBOX, (name, side), rows
    yield EVENTS_HELD, (name,), bool(found.events.get("held"))
    current = sum(epoch >= found.epoch for epoch in found.gateway.values())
    yield AGENTS, (name, "current"), current
    yield AGENTS, (name, "behind"), len(found.gateway) - current
    if archived is not None:
        yield ARCHIVED, (name,), archived.timestamp()


def _of_stream(name: str, stream: Mapping[str, Any]) -> Iterator[Reading]:
    labels = (name, stream["direction"])
    yield RUNNING, labels, bool(stream["active"])
    yield LOST, labels, bool(stream["lost"])
    if stream["lag_bytes"] is not None:
        yield LAG_BYTES, labels, stream["lag_bytes"]
    if stream["active"]:
        # Without a walsender nobody measures it, and a 0 would say that nothing is behind.
        yield LAG_SECONDS, labels, stream["lag_seconds"] or 0.0
    if stream["retained_bytes"] is not None:
        yield RETAINED, labels, stream["retained_bytes"]
    yield ERRORS, labels, stream["errors"]


def _of_verify(name: str, verified: Mapping[str, Any]) -> Iterator[Reading]:
    if verified:
        yield VERIFIED, (name,), datetime.fromisoformat(verified["verified_at"]).timestamp()
        yield VERIFIED_ROWS, (name,), verified.get("verified_rows") or 0
        yield DIFFERING, (name,), verified.get("differing") or 0


class _Histogram:
    """Observations in seconds, in buckets."""

    def __init__(self) -> None:
        self._counts = [0] * (len(PAUSE_BUCKETS_SECONDS) + 1)
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        self.sum += seconds
        for place, bound in enumerate((*PAUSE_BUCKETS_SECONDS, float("inf"))):
            self._counts[place] += seconds <= bound

    @property
    def buckets(self) -> list[tuple[str, float]]:
        bounds = [*map(str, PAUSE_BUCKETS_SECONDS), "+Inf"]
        return list(zip(bounds, map(float, self._counts), strict=True))


class _Past:
    """What the history says of one capability's changes of owner."""

    def __init__(self) -> None:
        self.last = 0
        self.changes = {(verb, outcome): 0 for verb in VERBS for outcome in ("done", "aborted", "recovered")}
        self.pauses = {verb: _Histogram() for verb in VERBS}
        self.steps: dict[tuple[str, str], _Histogram] = {}
        self.pause: tuple[float, float] | None = None  # the last one's begin and end, in seconds since 1970

    def take(self, entry: Entry) -> None:
        self.last = max(self.last, entry.number)
        verb, outcome = _change(entry)
        if (verb, outcome) not in self.changes:
            return
        self.changes[verb, outcome] += 1
        if outcome == "done" and entry.took_ms is not None:
            self._take_pause(verb, entry, entry.took_ms / 1000)

    def _take_pause(self, verb: str, entry: Entry, seconds: float) -> None:
        self.pauses[verb].observe(seconds)
        # An older version has recorded neither.
        lifted = entry.at.timestamp() - float(entry.details.get("since_lift_ms") or 0.0) / 1000
        self.pause = (lifted - seconds, lifted)
        for step, took_ms in (entry.details.get("steps_ms") or {}).items():
            self.steps.setdefault((verb, step), _Histogram()).observe(float(took_ms) / 1000)


class _History(Collector):
    """See the note "from the history"."""

    def __init__(self) -> None:
        self._past: dict[str, _Past] = {}

    def last(self, name: str) -> int:
        """The number of the last entry that was taken."""
        return self._past[name].last if name in self._past else 0

    def take(self, name: str, entries: Iterable[Entry]) -> None:
        past = self._past.get(name) or _Past()
        for entry in entries:
            past.take(entry)
        self._past = {**self._past, name: past}

    def forget(self, name: str) -> None:
        self._past = {other: past for other, past in self._past.items() if other != name}

    def collect(self) -> Iterable[Metric]:
        changes = CounterMetricFamily(
            "strangler_changes_total",
            "Changes of owner by how they ended, as the history has them.",
            labels=["capability", "verb", "outcome"],
        )
        pauses = HistogramMetricFamily(
            "strangler_pause_seconds",
            "Time from the old owner's shut door to the new owner's lift.",
            labels=["capability", "verb"],
        )
        steps = HistogramMetricFamily(
            "strangler_step_seconds", "Time that each step of a change took.", labels=["capability", "verb", "step"]
        )
        began = GaugeMetricFamily(
            "strangler_pause_began_timestamp_seconds", "When the last pause began.", labels=["capability"]
        )
        ended = GaugeMetricFamily(
            "strangler_pause_ended_timestamp_seconds", "When the last pause ended.", labels=["capability"]
        )
        for name, past in self._past.items():
            for (verb, outcome), count in past.changes.items():
                changes.add_metric([name, verb, outcome], count)
            for verb, pause in past.pauses.items():
                pauses.add_metric([name, verb], pause.buckets, pause.sum)
            for (verb, step), took in past.steps.items():
                steps.add_metric([name, verb, step], took.buckets, took.sum)
            if past.pause is not None:
                began.add_metric([name], past.pause[0])
                ended.add_metric([name], past.pause[1])
        yield from (changes, pauses, steps, began, ended)


def _change(entry: Entry) -> tuple[str, str]:
    if entry.what == RECOVERED_BY_SERVE:
        # An older version has not recorded which verb it was.
        return str(entry.details.get("verb") or "switch"), "recovered"
    verb = entry.what.removesuffix(ABORTED)
    return verb, "aborted" if verb != entry.what else "done"


HISTORY = _History()
REGISTRY.register(HISTORY)
