"""What Argo CD is told: an order, the overlays, and nothing by which a sync could undo what the tool did."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from strangler import configuration
from strangler.adapters.kubernetes import Front, httproutes, ingress
from strangler.application import routes

from tests.manifests.kustomize import APPLIED, COMBINATIONS, K8S, ROOT, Resource, build, built, of_kind
from tests.manifests.workloads import workloads

LOCAL = "tests/gitops-argocd"
APPLICATIONS = "components/gitops-argocd/applications"
WAVE, OPTIONS = "argocd.argoproj.io/sync-wave", "argocd.argoproj.io/sync-options"


def wave(resource: Resource) -> int:
    return int(resource["metadata"].get("annotations", {}).get(WAVE, "0"))


def filled(template: Any, values: Mapping[str, str]) -> Any:
    """A template of the ApplicationSet with one element's values."""
    if isinstance(template, dict):
        return {key: filled(each, values) for key, each in template.items()}
    if isinstance(template, list):
        return [filled(each, values) for each in template]
    if isinstance(template, str):
        for key, value in values.items():
            template = template.replace("{{." + key + "}}", value)
        assert "{{" not in template
    return template


@pytest.fixture(scope="module")
def applications() -> list[dict[str, Any]]:
    [made] = of_kind(APPLICATIONS, "ApplicationSet")
    elements = made["spec"]["generators"][0]["list"]["elements"]
    return [filled(made["spec"]["template"], element) for element in elements]


@pytest.fixture(scope="module")
def synced(applications: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Resource]]:
    """What each Application applies: Argo CD adds the components to the overlay's own kustomization."""
    copied = tmp_path_factory.mktemp("repository")
    shutil.copytree(K8S, copied / "k8s")
    return {each["metadata"]["name"]: _synced(copied, each["spec"]["source"]) for each in applications}


def _synced(repository: Path, source: Mapping[str, Any]) -> list[Resource]:
    file = repository / source["path"] / "kustomization.yaml"
    kustomization = yaml.safe_load(file.read_text())
    kustomization["components"] = [*kustomization.get("components", []), *source["kustomize"]["components"]]
    file.write_text(yaml.safe_dump(kustomization))
    return build(repository / source["path"])


def test_each_overlay_without_servers_is_an_application_and_says_its_images_itself(
    applications: list[dict[str, Any]],
) -> None:
    sources = [each["spec"]["source"] for each in applications]

    assert {source["path"] for source in sources} == {
        f"k8s/{overlay}" for overlay in APPLIED if not any(each["kind"] == "StatefulSet" for each in built(overlay))
    }
    assert all(set(source["kustomize"]) == {"components"} for source in sources)


def test_what_an_application_applies_is_the_overlay_with_marks_for_argo_cd(
    applications: list[dict[str, Any]], synced: dict[str, list[Resource]]
) -> None:
    for each in applications:
        overlay = built(each["spec"]["source"]["path"].removeprefix("k8s/"))
        assert [_unmarked(resource) for resource in synced[each["metadata"]["name"]]] == [
            _unmarked(resource) for resource in overlay
        ]


def _unmarked(resource: Resource) -> Resource:
    annotations = {
        key: value
        for key, value in resource["metadata"].get("annotations", {}).items()
        if not key.startswith("argocd.argoproj.io/")
    }
    spec = {key: value for key, value in resource.get("spec", {}).items() if key != "ttlSecondsAfterFinished"}
    return {**resource, "metadata": {**resource["metadata"], "annotations": annotations}, "spec": spec}


def test_the_project_allows_what_the_overlays_have_and_nothing_else(
    applications: list[dict[str, Any]], synced: dict[str, list[Resource]]
) -> None:
    [project] = of_kind(APPLICATIONS, "AppProject")
    allowed = {
        (each["group"], each["kind"])
        for key in ("clusterResourceWhitelist", "namespaceResourceWhitelist")
        for each in project["spec"][key]
    }
    places = {each["namespace"] for each in project["spec"]["destinations"]}

    assert allowed == {_kind(resource) for resources in synced.values() for resource in resources}
    assert places == {each["spec"]["destination"]["namespace"] for each in applications}
    for each in applications:
        [namespace] = [found for found in synced[each["metadata"]["name"]] if found["kind"] == "Namespace"]
        assert namespace["metadata"]["name"] == each["spec"]["destination"]["namespace"]
        assert each["spec"]["source"]["repoURL"] in project["spec"]["sourceRepos"]
        assert each["spec"]["project"] == project["metadata"]["name"]


def _kind(resource: Resource) -> tuple[str, str]:
    return resource["apiVersion"].rpartition("/")[0], resource["kind"]


def test_no_sync_can_own_a_route_that_the_tool_rendered(
    synced: dict[str, list[Resource]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They have other names than whatever is built, are of no allowed kind, and bear no mark of Argo CD."""
    monkeypatch.chdir(ROOT)
    project = configuration.project()
    table = routes.table(project, [])
    front = Front(name=project.name, gateway="public", ports=dict.fromkeys(project.processes, 8000))
    rendered = [*httproutes(table, front), ingress(table, front)]
    known = {(*_kind(each), each["metadata"]["name"]) for folder in (*APPLIED, *COMBINATIONS) for each in built(folder)}

    assert len(rendered) > 1
    for each in rendered:
        assert (*_kind(each), each["metadata"]["name"]) not in known
        assert _kind(each) not in {_kind(found) for resources in synced.values() for found in resources}
        marks = {*each["metadata"]["labels"], *each["metadata"]["annotations"]}
        assert not marks & {"app.kubernetes.io/instance", "argocd.argoproj.io/tracking-id"}


def test_nobody_in_the_namespace_can_change_an_object_that_a_sync_compares(folder: str) -> None:
    """So there is nothing to ignore: the tool moves routes in the ledger, and makes Secrets, which no manifest has."""
    mounted = {
        each.pod["serviceAccountName"] for each in workloads(folder) if each.pod.get("automountServiceAccountToken")
    }
    rules = [rule for role in of_kind(folder, "Role", "ClusterRole") for rule in role["rules"]]

    assert mounted <= {"secrets"}
    assert {resource for rule in rules for resource in rule["resources"]} <= {"secrets"}
    assert not of_kind(folder, "Secret", "ClusterRoleBinding")


def test_a_sync_leaves_the_numbers_that_an_autoscaler_sets(synced: dict[str, list[Resource]]) -> None:
    for resources in synced.values():
        scaled = {
            each["spec"]["scaleTargetRef"]["name"] for each in resources if each["kind"] == "HorizontalPodAutoscaler"
        }
        assert scaled
        assert not [
            each
            for each in resources
            if each["kind"] == "Deployment" and each["metadata"]["name"] in scaled and "replicas" in each["spec"]
        ]


def test_a_job_is_kept_for_the_comparison_until_its_tag_is_gone() -> None:
    jobs = of_kind(LOCAL, "Job")

    assert len(jobs) > 4
    assert not [job for job in jobs if "ttlSecondsAfterFinished" in job["spec"]]


def test_each_wave_needs_only_what_is_of_waves_before() -> None:
    found = {each.name: wave(each.resource) for each in workloads(LOCAL)}
    databases = {name for name in found if name.startswith("postgres-")}
    migrations = {name for name in found if name.endswith("-migrate")}
    first = {
        wave(each)
        for each in of_kind(
            LOCAL, "Namespace", "ServiceAccount", "ConfigMap", "NetworkPolicy", "Service", "ResourceQuota"
        )
    }
    roles = {wave(each) for each in of_kind(LOCAL, "Role", "RoleBinding", "LimitRange")}
    others = {wave(each.resource) for each in workloads(LOCAL, "Deployment")} | {found["load"]}

    assert databases
    assert migrations
    [ground] = first | roles
    [servers] = {found[name] for name in databases | {"rabbitmq"}}
    [migrated] = {found[name] for name in migrations}
    [rest] = others
    assert ground < found["secrets"] < servers < migrated < rest == 0


def test_what_holds_data_is_removed_only_when_somebody_confirms_it() -> None:
    for each in of_kind(LOCAL, "Namespace", "StatefulSet"):
        assert each["metadata"]["annotations"][OPTIONS] == "Prune=confirm,Delete=confirm"


def test_the_shop_outlives_the_set_of_its_applications(applications: list[dict[str, Any]]) -> None:
    [made] = of_kind(APPLICATIONS, "ApplicationSet")

    assert made["spec"]["syncPolicy"] == {"applicationsSync": "create-update", "preserveResourcesOnDeletion": True}
    assert not [each for each in applications if "finalizers" in each["metadata"]]
