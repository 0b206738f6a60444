"""The files of every server run the same steps for the same changes, with no more rights than they need."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.pipeline.__main__ import PACKAGES
from tests.pipeline.steps import ROOT, TARGETS

WORKFLOWS = {path.stem: path for path in sorted((ROOT / ".github/workflows").glob("*.yml"))}
OTHERS = ROOT / "docs/how-to/pipelines"
CALLERS = {
    "monolith": "monolith",
    "users": "users",
    "products": "products",
    "orders": "orders",
    "storefront": "storefront",
    "tool": "packages",
}
# `.venv/bin/python -m tests.pipeline "$SERVICE" image scan` and the like.
STEPS = re.compile(r'-m tests\.pipeline (?:\\?"\\?\$SERVICE\\?"|packages) ((?:[a-z]+ ?)+)')


def workflow(name: str) -> dict[Any, Any]:
    return yaml.safe_load(WORKFLOWS[name].read_text())


def steps_of(text: str) -> list[str]:
    return [step for words in STEPS.findall(text) for step in words.split()]


def test_there_is_one_workflow_for_each_service_and_one_for_the_tool():
    assert WORKFLOWS.keys() == {*CALLERS, "service"}


@pytest.mark.parametrize("name", CALLERS)
def test_a_workflow_runs_for_what_its_target_is_made_of(name):
    watched = TARGETS[CALLERS[name]].watched
    on = workflow(name)[True]  # YAML's `on`

    expected = [*watched, ".github/workflows/service.yml", f".github/workflows/{name}.yml"]
    assert on["pull_request"]["paths"] == on["push"]["paths"] == expected
    assert on["push"]["branches"] == ["main"]
    assert all(list(ROOT.glob(pattern.removesuffix("/**"))) for pattern in watched)


@pytest.mark.parametrize("name", CALLERS)
def test_a_workflow_calls_the_reusable_one_for_its_target(name):
    calls = [job for job in workflow(name)["jobs"].values() if "uses" in job]

    assert [job["uses"] for job in calls] == ["./.github/workflows/service.yml"]
    assert [job["with"]["service"] for job in calls] == ["strangler" if name == "tool" else name]


def test_all_steps_are_run_and_no_others():
    service = WORKFLOWS["service"].read_text()

    # Of a pull request the image is built and scanned too.
    assert steps_of(service) == ["check", "test", "image", "scan", "image", "scan", "bump"]
    assert steps_of(WORKFLOWS["tool"].read_text()) == list(PACKAGES)
    assert steps_of((OTHERS / "gitlab-service.yml").read_text()) == [
        "check", "test", "image", "scan", "image", "scan", "bump",
    ]  # fmt: skip
    assert steps_of((OTHERS / "gitlab-ci.yml").read_text()) == list(PACKAGES)
    jenkins = steps_of((OTHERS / "Jenkinsfile").read_text())
    assert jenkins == [*PACKAGES, "check", "test", "image", "scan", "image", "scan", "bump"]


def test_other_servers_run_for_the_same_changes():
    gitlab = yaml.safe_load((OTHERS / "gitlab-ci.yml").read_text())
    jenkins = dict(re.findall(r"^    (\w+): \[(.*)\],$", (OTHERS / "Jenkinsfile").read_text(), re.MULTILINE))

    for name, target in TARGETS.items():
        assert gitlab[name]["rules"][-1]["changes"]["paths"] == target.watched, name
        assert jenkins[name] == ", ".join(f"'{pattern}'" for pattern in target.watched), name


@pytest.mark.parametrize("name", WORKFLOWS)
def test_every_action_is_pinned_by_its_commit_and_says_its_version(name):
    for line in WORKFLOWS[name].read_text().splitlines():
        if "uses:" in line and "uses: ./" not in line:
            assert re.search(r"uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line), line


@pytest.mark.parametrize("name", WORKFLOWS)
def test_rights_are_given_to_jobs_alone_and_jobs_end(name):
    document = workflow(name)

    assert document["permissions"] == {}
    for job in document["jobs"].values():
        assert "permissions" in job
        assert "uses" in job or job["timeout-minutes"] <= 60
        for step in job.get("steps", ()):
            assert "${{" not in step.get("run", ""), step
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False


def test_code_of_a_pull_request_gets_no_right_to_write():
    jobs = workflow("service")["jobs"]

    for name, job in jobs.items():
        writes = "write" in job["permissions"].values()
        assert writes == (name in {"image", "bump"}), name
    assert jobs["image"]["if"] == "github.event_name == 'push' && github.ref == 'refs/heads/main'"
    assert jobs["bump"]["needs"] == "image"


def test_a_package_is_published_by_who_it_is_and_not_by_a_secret():
    publish = workflow("tool")["jobs"]["publish"]

    assert publish["permissions"] == {"id-token": "write"}
    assert publish["environment"] == "pypi"
    assert "refs/tags/v" in publish["if"]
    assert not [path for path in WORKFLOWS.values() if "secrets." in Path(path).read_text()]
