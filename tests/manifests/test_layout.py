"""How k8s/ is laid out: workloads in base, features in components, and overlays that only patch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.manifests.kustomize import APPLIED, K8S, Resource, built, of_kind

WITHOUT_SERVERS = ("overlays/staging", "overlays/production")
ROUTES = {"Ingress", "HTTPRoute", "GRPCRoute", "Gateway", "VirtualService"}
COMPONENTS = sorted(path.parent for path in (K8S / "components").glob("*/kustomization.yaml"))


@pytest.mark.parametrize("overlay", APPLIED)
def test_an_overlay_only_patches(overlay: str) -> None:
    own = yaml.safe_load((K8S / overlay / "kustomization.yaml").read_text())

    assert own["resources"] == ["../../base"]
    assert "configMapGenerator" not in own or all(each["behavior"] == "merge" for each in own["configMapGenerator"])


@pytest.mark.parametrize("component", COMPONENTS, ids=lambda path: path.name)
def test_each_component_says_what_it_is_for_and_is_built_somewhere(component: Path) -> None:
    assert (component / "README.md").exists()
    users = [file for file in K8S.glob("*/*/kustomization.yaml") if f"components/{component.name}" in file.read_text()]
    assert users


def test_the_namespace_enforces_the_restricted_standard(folder: str) -> None:
    [namespace] = of_kind(folder, "Namespace")
    labels = namespace["metadata"]["labels"]

    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    assert all(
        resource["metadata"].get("namespace") == namespace["metadata"]["name"]
        for resource in built(folder)
        if resource["kind"] != "Namespace"
    )


def test_no_route_that_the_tool_moves_is_in_a_manifest(folder: str) -> None:
    """What is in front of the gateway leads to it whatever the path is, or nowhere."""
    for route in of_kind(folder, *ROUTES):
        assert set(_leads(route)) <= {("/", "gateway")}, route["metadata"]["name"]
    text = yaml.safe_dump_all(built(folder))
    assert "/api/v1" not in text


def _leads(route: Resource) -> Iterator[tuple[str, str]]:
    """(path, Service) of each rule; a rule that redirects has no Service."""
    for rule in route["spec"].get("rules", []):
        if route["kind"] == "Ingress":
            yield from ((each["path"], each["backend"]["service"]["name"]) for each in rule["http"]["paths"])
        else:
            services = [each["name"] for each in rule.get("backendRefs", [])] or ["gateway"]
            yield from ((each["path"]["value"], service) for each in rule["matches"] for service in services)


@pytest.mark.parametrize("overlay", WITHOUT_SERVERS)
def test_where_servers_are_managed_there_are_none_and_no_secret_is_made(overlay: str) -> None:
    kinds = {resource["kind"] for resource in built(overlay)}

    assert not kinds & {"StatefulSet", "PersistentVolumeClaim", "Role", "RoleBinding", "Secret"}


def test_no_manifest_holds_a_secret(folder: str) -> None:
    assert not of_kind(folder, "Secret")


def test_without_the_monolith_only_its_address_its_migration_and_its_database_are_left() -> None:
    left = {
        resource["kind"]
        for resource in built("tests/retired-monolith")
        if resource["metadata"].get("labels", {}).get("app.kubernetes.io/name") == "monolith"
    }

    assert left == {"Job", "NetworkPolicy", "Service", "ServiceAccount"}
