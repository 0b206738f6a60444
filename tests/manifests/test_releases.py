"""What a new tag changes, and what it leaves as it is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.manifests.kustomize import K8S, Resource, build, of_kind

SERVICES = ("monolith", "users", "products", "orders")
# A Job's template cannot be changed, so no Job may name an object that a change of settings renames.
JOBS = {*(f"{service}-migrate" for service in SERVICES), "secrets", "load"}


@pytest.fixture
def released(tmp_path: Path) -> list[Resource]:
    """The local overlay with one service's image at another tag, as a team would set it."""
    copy = tmp_path / "overlay"
    copy.mkdir()
    away = os.path.relpath(K8S, copy)
    for file in (K8S / "overlays" / "local").iterdir():
        (copy / file.name).write_text(file.read_text().replace("../../", f"{away}/"))
    overlay = copy / "kustomization.yaml"
    image = "  - name: strangler/users\n    newTag: "
    overlay.write_text(overlay.read_text().replace(f"{image}0.1.0", f"{image}0.2.0"))
    return build(copy)


def test_each_job_bears_the_tag_of_its_image() -> None:
    for folder, expected in (("overlays/local", JOBS), ("tests/in-cluster", JOBS - {"secrets", "load"})):
        jobs = of_kind(folder, "Job")
        for job in jobs:
            tag = job["spec"]["template"]["spec"]["containers"][0]["image"].rpartition(":")[2]
            assert job["metadata"]["name"].removesuffix(f"-{tag}") in expected
        assert len(jobs) == len(expected)


def test_a_registry_of_ones_own_does_not_get_into_the_names() -> None:
    names = {job["metadata"]["name"] for job in of_kind("overlays/production", "Job")}

    assert names == {f"{service}-migrate-0.1.0" for service in SERVICES}


def test_a_new_tag_brings_a_new_migration_and_changes_the_pods_of_its_service_alone(released: list[Resource]) -> None:
    before = {_key(resource): resource for resource in build(K8S / "overlays" / "local")}
    after = {_key(resource): resource for resource in released}

    assert set(after) - set(before) == {("Job", "users-migrate-0.2.0")}
    assert set(before) - set(after) == {("Job", "users-migrate-0.1.0")}
    changed = {key for key in set(before) & set(after) if before[key] != after[key]}
    assert changed == {("Deployment", "users"), ("Deployment", "users-relay")}


def test_no_job_depends_on_settings() -> None:
    for job in of_kind("overlays/local", "Job"):
        assert not any("envFrom" in container for container in job["spec"]["template"]["spec"]["containers"])


def _key(resource: Resource) -> tuple[str, str]:
    return resource["kind"], resource["metadata"]["name"]
