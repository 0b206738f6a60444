"""What a Prometheus and a Grafana need to watch a project: where to ask, rules, dashboards.

Rules and dashboards are data of this package, the same for each project.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

SOURCE = files("strangler") / "observability"
RULES = "rules"
DASHBOARDS = "dashboards"
CONFIGURATION = "prometheus.yml"
ALERTMANAGER = "alertmanager.yml"
RUNBOOKS = "docs/how-to/"
INTERVAL = "15s"

HEAD = """\
# Written by `strangler render observability`. The alerts of the rules need an Alertmanager, for which alertmanager.yml
# is a beginning. Name it here:
# alerting: {alertmanagers: [{static_configs: [{targets: ["HOST:9093"]}]}]}
"""


@dataclass(frozen=True, slots=True)
class Target:
    """A process that answers; ``address`` is host and port, or None where only the process itself knows them."""

    process: str
    address: str | None


Jobs = Mapping[str, Sequence[Target]]
"""By job, whom to ask. Names of jobs begin with ``strangler``, for alerts go by that."""

WEB, BACKGROUND, SERVE, GATEWAY = "strangler-web", "strangler-background", "strangler-serve", "strangler-gateway"
PATHS = {GATEWAY: "/stats/prometheus"}


def write(folder: Path, jobs: Jobs, *, interval: str = INTERVAL, runbooks: str = RUNBOOKS) -> list[Path]:
    """Writes the configurations, rules and dashboards; returns the paths of the files.

    ``runbooks`` begins the links of the alerts to what they mean.

    Raises OSError.
    """
    written = [_put(folder / CONFIGURATION, configuration(jobs, interval=interval))]
    written.append(_put(folder / ALERTMANAGER, (SOURCE / ALERTMANAGER).read_text()))
    for name, text in data(RULES).items():
        written.append(_put(folder / RULES / name, text.replace(f"runbook: {RUNBOOKS}", f"runbook: {runbooks}")))
    for name, text in data(DASHBOARDS).items():
        written.append(_put(folder / DASHBOARDS / name, text))
    return written


def data(kind: str) -> dict[str, str]:
    """The files of `RULES` or `DASHBOARDS`, by name."""
    found = [each for each in (SOURCE / kind).iterdir() if each.name.endswith((".yml", ".json"))]
    return {each.name: each.read_text() for each in sorted(found, key=lambda each: each.name)}


def configuration(jobs: Jobs, *, interval: str = INTERVAL) -> str:
    """A whole ``prometheus.yml``; a process whose address is not known is left as a comment."""
    lines = [
        "global:",
        f"  scrape_interval: {interval}",
        f"  evaluation_interval: {interval}",
        "rule_files:",
        f"  - {RULES}/*.yml",
        "scrape_configs:",
    ]
    for job, targets in jobs.items():
        lines += [f"  - job_name: {job}"]
        if job in PATHS:
            lines += [f"    metrics_path: {PATHS[job]}"]
        known = [line for target in targets for line in _target(target)]
        lines += ["    static_configs:", *known]
    return HEAD + "\n".join(lines) + "\n"


def _target(target: Target) -> list[str]:
    label = f"        labels: {{process: {json.dumps(target.process)}}}"
    if target.address is None:
        return ["    #  - targets: [HOST:PORT]  # where it answers /metrics", label.replace("        ", "    #    ", 1)]
    return [f"      - targets: [{json.dumps(target.address)}]", label]


def _put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path
