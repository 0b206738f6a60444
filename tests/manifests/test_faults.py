"""Where faults can be switched on, and where they never can."""

from __future__ import annotations

import yaml

from tests.manifests.kustomize import K8S, ROOT, built

VARIABLE = "STRANGLER_FAULTS"


def test_faults_can_be_switched_on_in_the_local_overlay_and_in_no_other(folder: str) -> None:
    named = VARIABLE in yaml.safe_dump(list(built(folder)))
    written = yaml.safe_load((K8S / folder / "kustomization.yaml").read_text())
    is_local = any("overlays/local" in each for each in [folder, *written["resources"]])

    assert named == is_local


def test_no_image_obeys_faults_by_itself() -> None:
    dockerfiles = [*ROOT.glob("*/Dockerfile"), *ROOT.glob("*/*/Dockerfile")]

    assert len(dockerfiles) > 4
    assert not [file for file in dockerfiles if VARIABLE in file.read_text()]
