"""Writes docs/reference/metrics.md from the code that makes the metrics, and checks their names.

python docs/generate_metrics.py            writes the page
python docs/generate_metrics.py --check    says whether it is current, and what has no proper name
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "reference" / "metrics.md"
SOURCES = (ROOT / "shared" / "chassis" / "src", ROOT / "shared" / "strangler" / "src")

KINDS = {
    "Counter": "counter",
    "PrometheusCounter": "counter",
    "CounterMetricFamily": "counter",
    "Gauge": "gauge",
    "GaugeMetricFamily": "gauge",
    "Histogram": "histogram",
    "HistogramMetricFamily": "histogram",
}
# Who measures it, by where the code is; what stands first counts.
PROCESSES = (
    ("chassis/messages/relay.py", "relay"),
    ("chassis/messages/declarations.py", "worker and relay"),
    ("chassis/messages/", "worker"),
    ("chassis/sagas/", "worker"),
    ("chassis/servers/worker.py", "worker"),
    ("chassis/references/", "sweeper"),
    ("chassis/", "web"),
    ("strangler/cli/agent.py", "agent"),
    ("strangler/cli/", "serve"),
)
ORDER = ("web", "worker", "worker and relay", "relay", "sweeper", "serve", "agent")
ABOUT = {
    "web": "Each web process, at its own port; the sum of its worker processes. What is not about requests is also "
    "counted by workers.",
    "worker": "Each worker (`celery worker`), at `METRICS_PORT`. Workers of one side report the same queues and sagas: "
    "take the `max`, not the `sum`.",
    "worker and relay": "Both, at `METRICS_PORT`.",
    "relay": "Each `manage.py relay`, at `METRICS_PORT`. Relays of one database report the same outbox: take the "
    "`max`.",
    "sweeper": "Each `manage.py sweep_references`, at `METRICS_PORT`.",
    "serve": "`strangler serve`, at `METRICS_PORT`. The one that has the lease measures, about once per second. The "
    "pauses come from the ledger's history, so they do not begin anew with the process.",
    "agent": "Each `strangler agent`, at `METRICS_PORT`. What is live at which gateway, `serve` says too.",
}
LABELS = {
    "capability": "a capability of `strangler.toml`; empty for requests to no capability's routes, and for all "
    "requests before `start`",
    "side": "`monolith`, `service`",
    "method": "HTTP's methods, and `OTHER`",
    "route": "the pattern in the urlconf, and never the path that a client has sent; `(no route)`; after 500 patterns "
    "`(more routes)`. At most 200 characters, none of them a control character",
    "status": "the number of the answer's status",
    "outcome": "a word of the code; of requests that meet a fence see [below](#requests-that-meet-a-fence)",
    "kind": "a saga's `kind`; of waits `bodies`, `answers`, `owners`, `peers`, `passwords`",
    "step": "a step of a saga or of a switch",
    "state": "a state of a saga; of orphans `waiting`, `failing`, `swept`; of gateways `current`, `behind`",
    "reason": "a word of the code",
    "task": "the name of a registered Celery task",
    "queue": "the queue of a capability's tasks",
    "name": "the exchange, or a queue of a capability",
    "phase": "what `strangler status` calls the phase",
    "direction": "`forward`: monolith → service; `reverse`: service → monolith",
    "verb": "`switch`, `reverse`",
}
NOT_BASE = re.compile(r"_(ms|milliseconds|microseconds|minutes|hours|days|kb|kib|mb|mib|percent)(_|$)")
HEAD = """\
# Metrics

<!-- Written by docs/generate_metrics.py: change the text in the code, then run it again. -->

Every process answers `/metrics` in Prometheus' text format. How a Prometheus finds them, and which dashboards and
alerts there are, is in [Watch a move](../how-to/watch-a-move.md).

A counter's series begins at 0 as soon as its labels are known, where that is possible. A histogram `NAME` has
`NAME_bucket`, `NAME_sum` and `NAME_count`. Times are seconds, sizes bytes, points in time seconds since 1970.
"""
FENCE = """\
## Requests that meet a fence

`chassis_fence_requests_total` counts a request once for each thing that becomes of it. Requests that were held are the
count of `chassis_fence_hold_seconds`, whatever became of them afterwards.

| `outcome` | |
| --- | --- |
| `bounced` | answered with 307; the gateway asks the other side, and the client does not see it |
| `forwarded` | passed on to the other side by this process itself |
| `run_again` | run again here, after its transaction was rolled back |
| `turned_away` | 503: no owner in time, or too many were waiting |
| `put_off` | 503: the other side did not do its part of a deletion in time |
| `half_done` | 503: something had been committed before the fence was met |
| `never` | 501: another side owns what the request writes; see `{stray}` |
"""
OTHERS = """\
## Of others

The dashboards and rules also use metrics that are not the kit's: `up` of Prometheus, and of Envoy, at its admin port's
`/stats/prometheus`, those that begin with `envoy_http_downstream_` and `envoy_cluster_`. They use no exporter for
PostgreSQL: what they need of a server, `strangler serve` measures.
`strangler_ledger_backup_timestamp_seconds` is made by nobody here: your backup job may
[push it](../how-to/watch-a-move.md#the-ledgers-backup).

In the web processes of the shop django-prometheus measures besides; no dashboard needs it.
"""


@dataclass(frozen=True)
class Metric:
    """One metric as the code makes it."""

    name: str
    kind: str
    help: str
    labels: tuple[str, ...]
    place: str

    @property
    def process(self) -> str:
        return next(process for start, process in PROCESSES if self.place.startswith(start))


def metrics() -> list[Metric]:
    """All metrics of the chassis and the tool, sorted by name."""
    found = [metric for source in SOURCES for path in source.rglob("*.py") for metric in _of_file(path, source)]
    return sorted(found, key=lambda metric: metric.name)


def names() -> set[str]:
    """The names of all series."""
    series: set[str] = set()
    for metric in metrics():
        ends = ("_bucket", "_sum", "_count") if metric.kind == "histogram" else ("",)
        series |= {f"{metric.name}{end}" for end in ends}
    return series


def faults(found: list[Metric]) -> list[str]:
    """What is not as Prometheus' conventions have it."""
    told = [f"{metric.name}: {fault}" for metric in found for fault in _faults(metric)]
    twice = {metric.name for metric in found if [other.name for other in found].count(metric.name) > 1}
    return told + [f"{name}: is made in two places" for name in sorted(twice)]


def _faults(metric: Metric) -> Iterator[str]:
    if not re.fullmatch(r"(chassis|strangler)_[a-z_]+", metric.name):
        yield "begins with chassis_ or strangler_, and has small letters"
    if (metric.kind == "counter") != metric.name.endswith("_total"):
        yield "a counter ends with _total, and nothing else does"
    if metric.kind == "histogram" and not metric.name.endswith(("_seconds", "_bytes")):
        yield "a histogram ends with its unit"
    if NOT_BASE.search(metric.name):
        yield "has a unit that is not a base unit"
    if not metric.help.endswith("."):
        yield "its help is no sentence"
    for label in metric.labels:
        if label not in LABELS:
            yield f"nobody has said which values the label {label} has: add it to LABELS in docs/generate_metrics.py"


def page() -> str:
    """The whole page."""
    parts, found = [HEAD], metrics()
    for process in ORDER:
        rows = "".join(_row(metric) for metric in found if metric.process == process)
        parts.append(
            f"## {process.capitalize()}\n\n{ABOUT[process]}\n\n"
            f"| metric | type | labels | |\n| --- | --- | --- | --- |\n{rows}"
        )
    labels = "".join(f"| `{label}` | {text} |\n" for label, text in LABELS.items())
    parts.append(f"## Labels\n\nEach has a bounded set of values.\n\n| label | values |\n| --- | --- |\n{labels}")
    stray = "[write-from-a-staying-route](../how-to/when-something-is-wrong.md#write-from-a-staying-route)"
    return "\n".join([*parts, FENCE.replace("`{stray}`", stray), OTHERS])


def _row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    return f"| `{metric.name}` | {metric.kind} | {labels} | {metric.help} |\n"


def _of_file(path: Path, source: Path) -> Iterator[Metric]:
    tree = ast.parse(path.read_text())
    if not any("prometheus_client" in ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)):
        return
    constants = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in KINDS:
            made = _made(node, constants)
            if made is not None:
                yield Metric(made[0], KINDS[node.func.id], made[1], made[2], str(path.relative_to(source)))


def _made(call: ast.Call, constants: dict[str, ast.expr]) -> tuple[str, str, tuple[str, ...]] | None:
    if len(call.args) < 2 or not isinstance(call.args[0], ast.Constant) or not isinstance(call.args[0].value, str):
        return None  # another class of that name
    given = call.args[2] if len(call.args) > 2 else None
    for keyword in call.keywords:
        given = keyword.value if keyword.arg in {"labels", "labelnames"} else given
    return call.args[0].value, str(ast.literal_eval(call.args[1])), tuple(_labels(given, constants))


def _labels(node: ast.expr | None, constants: dict[str, ast.expr]) -> Iterator[str]:
    match node:
        case ast.List(elts=parts) | ast.Tuple(elts=parts):
            for part in parts:
                yield from _labels(part, constants)
        case ast.Constant(value=str(text)):
            yield text
        case ast.Name(id=name):
            yield from _labels(constants[name], constants)
        case ast.Starred(value=inner):
            yield from _labels(inner, constants)
        case None:
            return
        case _:
            raise SystemExit(f"labels that cannot be read: {ast.unparse(node)}")


def main(arguments: list[str]) -> int:
    """Writes, or with ``--check`` compares; the exit code says whether the page is current and the names are proper."""
    wrong, fresh = faults(metrics()), page()
    print("".join(f"{fault}\n" for fault in wrong), end="")
    if arguments == ["--check"]:
        current = PAGE.exists() and PAGE.read_text() == fresh
        print(f"{PAGE.name} {'is current' if current else 'is not current: run python docs/generate_metrics.py'}")
        return 0 if current and not wrong else 1
    PAGE.write_text(fresh)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
