"""Workloads, and their pods."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.manifests.kustomize import Resource, built, name

KINDS = ("Deployment", "StatefulSet", "Job")
TAG = re.compile(r"-\d+(\.\d+)+$")


@dataclass(frozen=True)
class Workload:
    """A Deployment, StatefulSet or Job; a Job is called without the tag at its end."""

    resource: Resource

    @property
    def kind(self) -> str:
        return str(self.resource["kind"])

    @property
    def name(self) -> str:
        return TAG.sub("", name(self.resource))

    @property
    def spec(self) -> dict[str, Any]:
        spec: dict[str, Any] = self.resource["spec"]
        return spec

    @property
    def pod(self) -> dict[str, Any]:
        pod: dict[str, Any] = self.spec["template"]["spec"]
        return pod

    @property
    def labels(self) -> dict[str, str]:
        """The pods' labels."""
        labels: dict[str, str] = self.spec["template"]["metadata"]["labels"]
        return labels

    @property
    def component(self) -> str:
        return self.labels["app.kubernetes.io/component"]

    @property
    def containers(self) -> list[dict[str, Any]]:
        """Those that go on running, or end a Job."""
        containers: list[dict[str, Any]] = self.pod["containers"]
        return containers

    @property
    def all_containers(self) -> list[dict[str, Any]]:
        return [*self.pod.get("initContainers", []), *self.containers]

    def container(self, wanted: str) -> dict[str, Any]:
        return next(each for each in self.all_containers if each["name"] == wanted)

    def volumes(self, *kinds: str) -> dict[str, Any]:
        """The pod's volumes of these kinds, by name; a claim's template is a ``persistentVolumeClaim``."""
        claims = {each["metadata"]["name"]: {"persistentVolumeClaim": each} for each in self._claims}
        pod = {each["name"]: each for each in self.pod.get("volumes", [])}
        return {volume: each for volume, each in {**pod, **claims}.items() if any(kind in each for kind in kinds)}

    @property
    def _claims(self) -> list[dict[str, Any]]:
        claims: list[dict[str, Any]] = self.spec.get("volumeClaimTemplates", [])
        return claims


def workloads(folder: str, *kinds: str) -> Iterator[Workload]:
    """All workloads, or those of the named kinds."""
    return (Workload(resource) for resource in built(folder) if resource["kind"] in (kinds or KINDS))


def workload(folder: str, wanted: str, kind: str = "Deployment") -> Workload:
    return next(each for each in workloads(folder, kind) if each.name == wanted)


def matches(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """A label selector as the API reads it; an empty one matches everything."""
    wanted = selector.get("matchLabels") or {}
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        _holds(expression, labels) for expression in selector.get("matchExpressions") or []
    )


def _holds(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    key, values = expression["key"], expression.get("values", [])
    match expression["operator"]:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case _:
            return key not in labels
