"""What is written for a Prometheus and a Grafana of somebody else, and what `--observe` refuses."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from strangler.adapters import observability, toml
from strangler.adapters.observability import GATEWAY, SERVE, Target
from strangler.stack import observation, state, teardown
from strangler.stack.identity import identify
from strangler.stack.state import State

FILE = """
[project]
name = "depot"
ledger = "monolith"
monolith = "monolith"

[databases.monolith]
embedded = true

[databases.billing]
url = "postgresql://billing.example/billing"

[processes.monolith]
directory = "."
command = ["serve"]
http = true

[processes.billing]
address = "http://billing.example:8000"

[processes.relay]
directory = "."
command = ["relay"]
database = "monolith"

[capabilities.billing]
tables = ["billing_invoice"]
process = "billing"
database = "billing"
routes = ["GET,POST /invoices"]
"""


def test_a_project_whose_stack_is_not_up_gets_places_to_fill_in(at: Callable[..., Result], tmp_path: Path) -> None:
    done = at("render", "observability", "out")

    assert done.exit_code == 0, done.output
    text = (tmp_path / "out" / "prometheus.yml").read_text()
    assert '- targets: ["billing.example:8000"]\n        labels: {process: "billing"}' in text
    assert '#  - targets: [HOST:PORT]  # where it answers /metrics\n    #    labels: {process: "relay"}' in text
    assert "They are not known here" in done.output
    assert sorted(path.name for path in (tmp_path / "out" / "dashboards").iterdir()) == [
        "messages.json",
        "move.json",
        "service.json",
    ]
    assert json.loads((tmp_path / "out" / "dashboards" / "move.json").read_text())["uid"] == "strangler-move"


def test_links_lead_to_where_the_reader_has_the_pages(at: Callable[..., Result], tmp_path: Path) -> None:
    at("render", "observability", "out", "--runbooks", "https://wiki.example/x/")

    rules = (tmp_path / "out" / "rules" / "strangler.yml").read_text()
    assert "runbook: https://wiki.example/x/when-something-is-wrong.md#rowsdiffer" in rules
    assert observability.RUNBOOKS not in rules


@pytest.mark.parametrize("words", [("observability",), ("k8s", "folder")])
def test_a_folder_is_named_where_files_are_written_and_nowhere_else(at: Callable[..., Result], words: str) -> None:
    done = at("render", *words)

    assert done.exit_code == 2
    assert "FOLDER" in done.output


def test_a_folder_that_cannot_be_is_refused(at: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    done = at("render", "observability", "file/below")

    assert done.exit_code == 2
    assert "cannot be written" in done.output
    assert "Traceback" not in done.output


def test_a_password_of_an_address_is_not_written_down() -> None:
    assert observation._place("http://user:word@host:9901/x") == "host:9901"


def test_a_name_with_a_quote_breaks_no_configuration() -> None:
    text = observability.configuration({SERVE: [Target('a"b\\', "h:1")], GATEWAY: []})

    assert 'labels: {process: "a\\"b\\\\"}' in text
    assert "metrics_path: /stats/prometheus" in text


def test_without_a_prometheus_nothing_is_started(
    at: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    done = at("up", "--observe")

    assert done.exit_code == 2
    assert "there is no prometheus on the PATH" in done.output
    assert not (tmp_path / "var").exists()


def test_a_project_with_a_prometheus_of_its_own_goes_on_without_observe(
    at: Callable[..., Result], tmp_path: Path
) -> None:
    file = tmp_path / "strangler.toml"
    file.write_text(file.read_text().replace("[processes.relay]", "[processes.prometheus]"))

    done = at("up", "--observe")

    assert done.exit_code == 2
    assert "would be two" in done.output
    assert at("render", "observability", "out").exit_code == 0


def test_what_prometheus_has_kept_goes_with_the_rest(tmp_path: Path) -> None:
    (tmp_path / "prometheus" / "data").mkdir(parents=True)

    teardown.wipe(tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_a_stack_that_is_up_without_prometheus_is_not_said_to_have_one(
    at: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "prometheus"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    me = identify(os.getpid())
    assert me is not None
    state.write(toml.load(), State(supervisor=me, phase=state.READY))

    done = at("up", "--observe")

    assert done.exit_code == 2
    assert "the stack is up, and without Prometheus" in done.output
    assert "strangler down" in done.output
