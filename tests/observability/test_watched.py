"""A real Prometheus watches the whole stack while moves are rehearsed on it, and each panel has something to show."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.contract import people
from tests.observability import boards
from tests.observability.alerting import Told, alarmed
from tests.observability.boards import Query
from tests.observability.watched import HAS_PROMETHEUS, Watched
from tests.stack import STRANGLER
from tests.waiting import eventually

pytestmark = pytest.mark.skipif(not HAS_PROMETHEUS, reason="there is no prometheus on the PATH")

SCRIPT = """\
start users
verify users
traffic 60
switch users
traffic 60
start products
verify products
switch products
traffic 120
"""
REHEARSAL_SECONDS = 400
STEP_SECONDS = 2
# After a move that went well nobody may be woken for any of these. How fast answers are is the machine's affair.
SILENT = {alert["alert"] for alert in boards.alerts() if "Slow" not in alert["alert"]} - {"LedgerBackupUnknown"}


@dataclass
class Rehearsed:
    """What Prometheus has seen of a rehearsal, and what the rehearsal says of itself."""

    stack: Watched
    report: dict[str, Any]
    began: float
    ended: float

    @property
    def ask(self) -> Callable[..., Any]:
        return self.stack.ask

    def during(self, expression: str) -> list[dict[str, Any]]:
        """The series of the time of the rehearsal that have a number in them."""
        found = self.ask("query_range", query=expression, start=self.began, end=self.ended, step=STEP_SECONDS)["result"]
        return [series for series in found if any(not math.isnan(float(value)) for _, value in series["values"])]

    def now(self, expression: str) -> dict[str, float]:
        """By capability."""
        found = self.ask("query", query=expression)["result"]
        return {series["metric"].get("capability", ""): float(series["value"][1]) for series in found}


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    with Watched(tmp_path_factory.mktemp("watched")).running() as found:
        yield found


@pytest.fixture(scope="module")
def rehearsed(watched: Watched) -> Rehearsed:
    script = watched.folder / "script.txt"
    script.write_text(SCRIPT)
    report = watched.folder / "report" / "report.json"
    began = time.time()
    size = ("--clients", "8", "--processes", "1", "--think", "0.1", "--requests", "300", "--writes", "20")
    watched.run("rehearse", "--script", str(script), "--report", str(report), *size, seconds=REHEARSAL_SECONDS)
    found = Rehearsed(watched, json.loads(report.read_text()), began, time.time())
    # What serve reads of the last switch must have been asked for once more.
    eventually(
        lambda: found.now('strangler_changes_total{verb="switch",outcome="done"}').get("products") == 1,
        "the last switch in Prometheus",
    )
    found.ended = time.time()
    return found


def test_every_process_is_asked_and_answers(rehearsed: Rehearsed, watched: Watched) -> None:
    targets = rehearsed.ask("targets")["activeTargets"]

    assert {each["labels"]["process"] for each in targets} == set(watched.environment()["processes"]) - {
        *(name for name in watched.environment()["processes"] if name.startswith(("postgres", "rabbit", "epmd"))),
        *("broker", "prometheus"),
    }
    assert {each["labels"]["process"]: each["lastError"] for each in targets if each["health"] != "up"} == {}


def test_all_rules_are_evaluated(rehearsed: Rehearsed) -> None:
    groups = rehearsed.ask("rules")["groups"]

    loaded = [rule for group in groups for rule in group["rules"]]
    assert len(loaded) == len(boards.rules())
    assert [rule["name"] for rule in loaded if rule["health"] == "err"] == []


@pytest.mark.parametrize("query", list(boards.queries()), ids=str)
def test_each_query_of_each_panel_has_data(rehearsed: Rehearsed, query: Query) -> None:
    found = rehearsed.during(query.filled)

    assert found
    named = [series["metric"] for series in found if series["metric"]]
    assert not named or all(any(label in metric for metric in named) for label in query.labels)


@pytest.mark.parametrize("alert", boards.alerts(), ids=lambda alert: alert["alert"])
def test_each_alert_can_be_asked_for(rehearsed: Rehearsed, alert: dict[str, Any]) -> None:
    rehearsed.ask("query", query=alert["expr"])


def test_nobody_was_woken_by_moves_that_went_well(rehearsed: Rehearsed) -> None:
    fired = rehearsed.during('ALERTS{alertstate="firing"}')

    assert rehearsed.report["ok"], rehearsed.report
    assert {series["metric"]["alertname"] for series in fired} & SILENT == set()


def test_the_pauses_are_those_that_the_commands_have_told(rehearsed: Rehearsed) -> None:
    told: dict[str, float] = {}
    for move in rehearsed.report["moves"]:
        told[move["capability"]] = told.get(move["capability"], 0.0) + move["pause_ms"] / 1000

    seen = rehearsed.now("sum by (capability) (strangler_pause_seconds_sum)")

    assert {name: seconds for name, seconds in seen.items() if seconds} == pytest.approx(told, abs=0.001)


def test_owner_and_epoch_are_those_of_the_ledger(rehearsed: Rehearsed, watched: Watched) -> None:
    owners = rehearsed.now("strangler_service_owns")

    assert owners == {"users": 1, "products": 1, "orders": 0}
    assert rehearsed.now("strangler_epoch")["products"] == watched.status("products")["epoch"]


def test_status_says_where_it_is_and_it_listens_on_this_machine_alone(rehearsed: Rehearsed, watched: Watched) -> None:
    address = watched.environment()["prometheus"]
    assert f"prometheus: {address}" in watched.run("status").stdout
    assert address.startswith("http://127.0.0.1:")
    flags = rehearsed.ask("status/flags")
    assert flags["storage.tsdb.path"].startswith(str(watched.folder))
    assert flags["storage.tsdb.retention.size"].startswith("512")


def test_what_render_writes_asks_this_stack(rehearsed: Rehearsed, watched: Watched, tmp_path: Path) -> None:
    done = watched.run("render", "observability", str(tmp_path), "--runbooks", "https://wiki.example/")

    assert done.stderr == ""
    text = (tmp_path / "prometheus.yml").read_text()
    asked = {each["labels"]["instance"] for each in rehearsed.ask("targets")["activeTargets"]}
    assert all(f'"{address}"' in text for address in asked)
    assert (
        "runbook: https://wiki.example/when-something-is-wrong.md#streamlost"
        in (tmp_path / "rules" / "strangler.yml").read_text()
    )
    if shutil.which("promtool"):
        checked = subprocess.run(
            ["promtool", "check", "config", str(tmp_path / "prometheus.yml")], capture_output=True, check=False
        )
        assert checked.returncode == 0, checked


def test_faults_reach_somebody_by_an_alertmanager_and_are_over_when_they_are_mended(
    rehearsed: Rehearsed, watched: Watched, tmp_path: Path
) -> None:
    with alarmed(watched, tmp_path) as receiver, watched.client() as client, watched.database("monolith") as monolith:

        def told(status: str) -> list[Told]:
            found = [receiver.last(name) for name in ("DeadLetters", "StreamStopped")]
            return [each for each in found if each and each.status == status]

        somebody = people.sign_up(client, people.fresh_email())
        fault = ("raising-handler", "--capability", "orders", "--where", f"user_id={somebody.id}")
        watched.run("fault", "on", *fault)
        # Processes look twice in a second whether a fault is on.
        time.sleep(2 * 0.5)
        client.delete("/api/v1/users/me", headers=somebody.headers).raise_for_status()
        [[stream]] = monolith.execute("SELECT subname FROM pg_subscription WHERE subname LIKE '%users%'").fetchall()
        monolith.execute(f"ALTER SUBSCRIPTION {stream} DISABLE")

        dead, stopped = eventually(lambda: (found := told("firing"))[1:] and found, "both alerts")

        assert (dead.receiver, dead.labels["capability"]) == ("page", "orders")
        assert (stopped.receiver, stopped.labels["capability"]) == ("page", "users")
        assert "messages could not be handled" in dead.annotations["summary"]
        for each in (dead, stopped):
            page, anchor = each.annotations["runbook"].split("#")
            headings = re.findall(r"^#+ (.+)$", (boards.ROOT / page).read_text(), re.MULTILINE)
            assert anchor in [heading.lower() for heading in headings]

        monolith.execute(f"ALTER SUBSCRIPTION {stream} ENABLE")
        watched.run("fault", "off")
        replay = ("events", "replay", "--source", "dead", "--capability", "orders", "--yes")
        watched.run("manage", "monolith", *replay)

        eventually(lambda: len(told("resolved")) == 2, "both alerts to be over")


def test_without_prometheus_nothing_is_started(tmp_path: Path) -> None:
    environment = {**os.environ, "PATH": "/nowhere", "STRANGLER_STATE": str(tmp_path / "state")}

    done = subprocess.run(
        [STRANGLER, "up", "--observe"], cwd=boards.ROOT, env=environment, capture_output=True, text=True, check=False
    )

    assert done.returncode == 2
    assert "no prometheus on the PATH" in done.stderr
    assert "apt-get install prometheus" in done.stderr
    assert not (tmp_path / "state").exists()


def test_a_stack_that_is_up_is_not_said_to_be_observed(watched: Watched) -> None:
    assert "already up" in watched.run("up", "--observe").stdout
