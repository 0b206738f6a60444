"""Builds kustomizations."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
K8S = ROOT / "k8s"
KUBECTL = Path(sys.executable).with_name("kubectl")
# What is applied, and the combinations of components that are not, but could be.
APPLIED = ("overlays/local", "overlays/staging", "overlays/production")
COMBINATIONS = tuple(f"tests/{path.parent.name}" for path in sorted((K8S / "tests").glob("*/kustomization.yaml")))
# What is applied by itself: in another namespace, or in none.
APART = ("node-logs", "components/gitops-argocd/applications", "components/nodes/karpenter")

Resource = dict[str, Any]


class BuildError(Exception):
    """What kustomize says of a kustomization that it cannot build."""


@cache
def built(folder: str) -> tuple[Resource, ...]:
    """The resources of a kustomization below k8s/; not to be changed. Raises BuildError."""
    return tuple(build(K8S / folder))


def build(folder: Path) -> list[Resource]:
    """The resources of any kustomization. Raises BuildError."""
    done = subprocess.run([KUBECTL, "kustomize", folder], capture_output=True, text=True, check=False)
    if done.returncode or done.stderr:
        raise BuildError(f"{folder}: {done.stderr.strip()}")
    return [resource for resource in yaml.load_all(done.stdout, yaml.CSafeLoader) if resource]


def of_kind(folder: str, *kinds: str) -> list[Resource]:
    """Those of the named kinds."""
    return [resource for resource in built(folder) if resource["kind"] in kinds]


def name(resource: Resource) -> str:
    """The name; without the hash, where it is one of a generated ConfigMap."""
    found: str = resource["metadata"]["name"]
    return found.rpartition("-")[0] if resource["kind"] == "ConfigMap" else found
