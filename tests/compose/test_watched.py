"""What watches the shop in containers; of the profile only Prometheus is run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import yaml

from tests.compose.containers import Containers
from tests.stack import ROOT
from tests.waiting import eventually

ASK = "import sys, urllib3; print(urllib3.request('GET', 'http://prometheus:9090/api/v1/' + sys.argv[1]).data.decode())"
Ask = Callable[[str], Any]


@pytest.fixture(scope="module")
def ask(up: Containers) -> Iterator[Ask]:
    """Asks the profile's Prometheus, which is gone afterwards."""
    image = up.configuration()["services"]["prometheus"]["image"]
    if up.compose("--profile", "observability", "pull", "--policy", "missing", "prometheus", code=None).returncode:
        pytest.skip(f"{image} is not here, and cannot be pulled")
    # Of the others no stand-in can be had. `--wait` would wait for them.
    up.compose("--profile", "observability", "up", "--detach", "--no-deps", "prometheus")
    try:
        yield lambda what: json.loads(up.execute("strangler", "python", "-c", ASK, what).stdout)["data"]
    finally:
        up.compose("--profile", "observability", "rm", "--stop", "--force", "prometheus")


def test_prometheus_reaches_all_that_it_asks(ask: Ask) -> None:
    jobs = yaml.safe_load((ROOT / "observability" / "prometheus.yml").read_text())["scrape_configs"]
    named = {target for job in jobs for group in job["static_configs"] for target in group["targets"]}

    def health() -> Mapping[str, str]:
        return {each["labels"]["instance"]: each["health"] for each in ask("targets")["activeTargets"]}

    eventually(lambda: set(health().values()) == {"up"} and health(), "every target to be up")
    assert set(health()) == named


def test_prometheus_evaluates_all_rules(ask: Ask) -> None:
    rules = [rule for group in ask("rules")["groups"] for rule in group["rules"]]

    written = yaml.safe_load((ROOT / "k8s/components/monitoring/rules/strangler.yml").read_text())["groups"]
    assert len(rules) == sum(len(group["rules"]) for group in written)
    assert [rule["name"] for rule in rules if rule["health"] == "err"] == []


def test_each_container_that_answers_metrics_is_asked() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    jobs = yaml.safe_load((ROOT / "observability" / "prometheus.yml").read_text())["scrape_configs"]
    named = {target for job in jobs for group in job["static_configs"] for target in group["targets"]}

    answering = {
        f"{name}:{each['healthcheck']['test'][-1]}"
        for name, each in services.items()
        if each.get("healthcheck", {}).get("test", [""])[:2] == ["CMD", "ready"]
    }
    assert answering
    assert named == answering | {"gateway:9901"}


def test_without_the_variable_no_fault_can_be_switched_on(up: Containers) -> None:
    verb = ("exec", "-T", "--env", "STRANGLER_FAULTS=", "strangler", "strangler", "fault", "on", "errors")

    refused = up.compose(*verb, "--capability", "users", "--json", code=2)

    assert [finding["id"] for finding in json.loads(refused.stdout)["findings"]] == ["fault-not-here"]
