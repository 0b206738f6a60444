"""The dashboards and rules as files: whole, explained, and of metrics that are there."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.observability import boards
from tests.observability.boards import BOARDS, ROOT, RULES, SOURCE

RULES_TEST = Path(__file__).with_name("rules.test.yml")
METRICS_PAGE = ROOT / "docs" / "reference" / "metrics.md"
WATCH_PAGE = ROOT / "docs" / "how-to" / "watch-a-move.md"
ALERTMANAGER = SOURCE / "alertmanager.yml"
RUNBOOKS = "docs/how-to/when-something-is-wrong.md"
# Of others; docs/reference/metrics.md says so. The kit uses no name of an exporter for PostgreSQL.
OTHERS = {
    "up",
    "strangler_ledger_backup_timestamp_seconds",
    "envoy_http_downstream_rq_xx",
    "envoy_http_downstream_rq_time_bucket",
    "envoy_cluster_upstream_rq_xx",
}
WORDS = {
    *("sum", "max", "min", "count", "topk", "rate", "increase", "delta", "histogram_quantile", "time", "vector"),
    *("absent", "and", "or", "unless", "on", "by", "without", "ignoring", "bool", "offset", "le"),
}
# Grafana's ids of units: https://github.com/grafana/grafana/blob/main/packages/grafana-data/src/valueFormats
UNITS = {"none", "short", "s", "ms", "bytes", "percentunit", "reqps", "cps"}
needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="there is no promtool on the PATH")


def known() -> set[str]:
    """All series that the page of metrics names, and what the rules record."""
    names: set[str] = set()
    for name, kind in re.findall(
        r"^\| `(\w+)` \| (counter|gauge|histogram) \|", METRICS_PAGE.read_text(), re.MULTILINE
    ):
        names |= {f"{name}{end}" for end in ("_bucket", "_sum", "_count")} if kind == "histogram" else {name}
    return names | OTHERS | {rule["record"] for rule in boards.rules() if "record" in rule}


def asked(expression: str) -> set[str]:
    """The metrics that an expression names."""
    bare = re.sub(r"{[^}]*}|\[[^\]]*\]|\"[^\"]*\"", " ", expression)
    bare = re.sub(r"\b(by|on|without|ignoring)\s*\([^)]*\)", " ", bare)
    bare = re.sub(r"(?<![\w:])[-+]?\d[\w.]*", " ", bare)
    return set(re.findall(r"[a-zA-Z_:][\w:]*", bare)) - WORDS


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_no_panel_is_without_unit_and_description(path: Path) -> None:
    for panel in boards.panels(path):
        title = panel["title"]
        assert panel["fieldConfig"]["defaults"].get("unit") in UNITS, title
        assert panel["description"].endswith("."), title
        assert all(target["legendFormat"] for target in panel["targets"]), title


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_a_board_asks_the_source_that_the_reader_chooses(path: Path) -> None:
    board = boards.board(path)
    assert board["schemaVersion"] >= 39  # Grafana 11
    assert board["uid"] == f"strangler-{path.stem}"
    assert "id" not in board  # it would be another one's in the reader's Grafana
    asked_of = [target["datasource"] for panel in boards.panels(path) for target in panel["targets"]]
    asked_of += [note["datasource"] for note in board["annotations"]["list"]]
    assert all(source == {"type": "prometheus", "uid": "${datasource}"} for source in asked_of)
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_no_panel_lies_on_another(path: Path) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in boards.board(path)["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        taken |= cells


def test_there_is_one_board_for_each_question() -> None:
    assert [path.stem for path in BOARDS] == ["messages", "move", "service"]


def test_each_metric_that_is_asked_for_is_in_the_reference() -> None:
    names = known()
    expressions = {str(query): query.filled for query in boards.queries()}
    expressions |= {rule.get("alert") or rule["record"]: rule["expr"] for rule in boards.rules()}

    unknown = {place: sorted(asked(text) - names) for place, text in expressions.items() if asked(text) - names}

    assert not unknown


def test_a_metric_that_nobody_makes_would_be_found() -> None:
    found = asked(
        'sum by (le, side) (rate(chassis_nothing_total{side="x"}[5m])) > 0.5 * 2 or strangler_epoch offset -1m'
    )

    assert found == {"chassis_nothing_total", "strangler_epoch"}
    assert "chassis_nothing_total" not in known()


@pytest.mark.parametrize("alert", boards.alerts(), ids=lambda alert: alert["alert"])
def test_each_alert_says_how_bad_it_is_and_where_to_read(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in {"page", "ticket"}
    assert alert["annotations"]["summary"]
    page, anchor = alert["annotations"]["runbook"].split("#")
    assert page == RUNBOOKS
    assert anchor == alert["alert"].lower()
    assert f"\n### {alert['alert']}\n" in (ROOT / page).read_text()


def test_each_section_about_an_alert_has_its_alert() -> None:
    text = (ROOT / RUNBOOKS).read_text()
    section = text.split("\n## Alerts\n")[1].split("\n## ")[0]

    assert set(re.findall(r"^### (\w+)$", section, re.MULTILINE)) == {alert["alert"] for alert in boards.alerts()}


@needs_promtool
def test_promtool_finds_nothing_wrong_with_the_rules() -> None:
    done = _promtool("check", "rules", str(RULES))

    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_each_alert_comes_when_it_should_and_not_otherwise(tmp_path: Path) -> None:
    for source in (RULES, RULES_TEST):
        shutil.copy(source, tmp_path / source.name)

    done = _promtool("test", "rules", str(tmp_path / RULES_TEST.name))

    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
@pytest.mark.parametrize("block", re.findall(r"```yaml\n(.*?)```", WATCH_PAGE.read_text(), re.DOTALL))
def test_prometheus_takes_the_lines_of_the_page(tmp_path: Path, block: str) -> None:
    (tmp_path / "rules").mkdir()
    shutil.copy(RULES, tmp_path / "rules")
    # Debian builds Prometheus without Kubernetes, and so the page says that this line has not been run.
    block = block.replace("kubernetes_sd_configs: [{role: pod}]", "static_configs: []")
    (tmp_path / "prometheus.yml").write_text(block)

    done = _promtool("check", "config", str(tmp_path / "prometheus.yml"))

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("amtool") is None, reason="there is no amtool on the PATH")
@pytest.mark.parametrize("severity", ["page", "ticket"])
def test_each_severity_has_a_way_of_its_own(severity: str) -> None:
    for words in (["check-config", str(ALERTMANAGER)], _route(f"severity={severity}")):
        done = subprocess.run(["amtool", *words], capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr

    assert done.stdout.strip() == severity


def test_only_alerts_that_are_there_keep_others_quiet() -> None:
    named = re.findall(r'alertname=~?"([\w|]+)"', ALERTMANAGER.read_text())

    assert {name for each in named for name in each.split("|")} <= {alert["alert"] for alert in boards.alerts()}


def _route(*labels: str) -> list[str]:
    return ["config", "routes", "test", f"--config.file={ALERTMANAGER}", *labels]


def test_each_alert_has_a_test_in_which_it_fires() -> None:
    tested = RULES_TEST.read_text()

    missing = [
        alert["alert"]
        for alert in boards.alerts()
        if f'alertname="{alert["alert"]}"' not in tested and f"alertname: {alert['alert']}\n" not in tested
    ]

    assert not missing


def _promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False, timeout=120)
