"""What the dashboards and rules ask Prometheus."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "shared" / "strangler" / "src" / "strangler" / "observability"
BOARDS = sorted((SOURCE / "dashboards").glob("*.json"))
RULES = SOURCE / "rules" / "strangler.yml"

# What Grafana puts in place of its variables: everything, and four scrapes of the local stack.
VARIABLES = {"$__rate_interval": "10s", "$capability": ".*", "$side": ".*"}


@dataclass(frozen=True)
class Query:
    """One query of a panel, or that of an annotation; ``legend`` names the labels that its series must have."""

    board: str
    panel: str
    expression: str
    legend: str = ""

    @property
    def filled(self) -> str:
        """Without Grafana's variables."""
        text = self.expression
        for name, value in VARIABLES.items():
            text = text.replace(name, value)
        return text

    @property
    def labels(self) -> list[str]:
        return re.findall(r"{{(\w+)}}", self.legend)

    def __str__(self) -> str:
        return f"{self.board}: {self.panel}: {self.filled}"


def board(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def panels(path: Path) -> list[dict[str, Any]]:
    """All but the rows' headings."""
    return [panel for panel in board(path)["panels"] if panel["type"] != "row"]


def queries() -> Iterator[Query]:
    for path in BOARDS:
        for panel in panels(path):
            for target in panel["targets"]:
                yield Query(path.stem, panel["title"], target["expr"], target["legendFormat"])
        for note in board(path)["annotations"]["list"]:
            yield Query(path.stem, f"annotation {note['name']}", note["expr"], note["titleFormat"])


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    return [rule for rule in rules() if "alert" in rule]
